# Expect: refused
print(call('clone', 0x10000011, 0, 0, 0, 0))
