# Expect: refused
print(call('finit_module', 3, b'', 0))
