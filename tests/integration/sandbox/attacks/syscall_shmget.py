# Expect: refused
print(call('shmget', 0, 4096, 0o1777))
