# Expect: refused
print(call('ptrace', 16, libc.getppid(), 0, 0))
