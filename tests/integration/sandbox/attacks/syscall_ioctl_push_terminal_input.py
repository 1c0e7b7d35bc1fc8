# Expect: refused
print(call('ioctl', 0, 0x5412, b'x'))
