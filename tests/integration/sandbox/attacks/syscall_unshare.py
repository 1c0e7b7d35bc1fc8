# Expect: refused
print(call('unshare', 0x10000000))
