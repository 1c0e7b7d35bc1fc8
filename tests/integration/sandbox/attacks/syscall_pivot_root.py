# Expect: refused
print(call('pivot_root', b'/', b'/'))
