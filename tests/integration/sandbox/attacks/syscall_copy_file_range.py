# Expect: refused
print(call('copy_file_range', 3, 0, 0, 0, 8, 0))
