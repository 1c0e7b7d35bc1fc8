# Expect: refused
print(call('fsopen', b'tmpfs', 0))
