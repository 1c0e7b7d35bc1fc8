# Expect: refused
print(call('mount', b'none', b'/', b'tmpfs', 0, 0))
