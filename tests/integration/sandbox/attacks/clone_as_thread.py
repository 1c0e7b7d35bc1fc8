# Expect: refused
print(call('clone', 0x3D0F00, 0, 0, 0, 0))
