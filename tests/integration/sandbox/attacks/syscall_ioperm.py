# Expect: refused
print(call('ioperm', 0, 8, 1))
