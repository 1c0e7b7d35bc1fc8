# Expect: refused
print(call('swapon', b'/', 0))
