# Expect: refused
print(call('open_tree', -100, b'/', 0))
