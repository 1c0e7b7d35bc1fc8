# Expect: refused
print(call('tgkill', libc.getpid(), libc.getpid(), 19))
