# Expect: refused
print(call('kcmp', libc.getpid(), libc.getppid(), 0, 0, 0))
