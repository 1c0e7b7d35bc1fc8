# Expect: refused
print(call('ptrace', 0, 0, 0, 0))
