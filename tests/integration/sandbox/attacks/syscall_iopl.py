# Expect: refused
print(call('iopl', 3))
