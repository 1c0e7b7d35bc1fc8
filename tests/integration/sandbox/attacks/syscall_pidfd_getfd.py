# Expect: refused
print(call('pidfd_getfd', 3, 0, 0))
