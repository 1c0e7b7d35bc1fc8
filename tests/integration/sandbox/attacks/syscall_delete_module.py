# Expect: refused
print(call('delete_module', b'x', 0))
