# Expect: refused
print(call('remap_file_pages', 0, 4096, 0, 0, 0))
