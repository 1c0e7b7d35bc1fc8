# Expect: refused
print(call('request_key', b'user', b'x', 0, -3))
