# Expect: refused
print(call('msgget', 0, 0o1777))
