# Expect: refused
print(call('pidfd_open', libc.getppid(), 0))
