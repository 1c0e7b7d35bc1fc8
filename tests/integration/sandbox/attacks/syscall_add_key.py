# Expect: refused
print(call('add_key', b'user', b'x', b'y', 1, -3))
