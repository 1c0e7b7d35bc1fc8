# Expect: refused
print(call('semget', 0, 1, 0o1777))
