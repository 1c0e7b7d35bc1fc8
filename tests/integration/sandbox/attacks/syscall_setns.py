# Expect: refused
print(call('setns', 3, 0))
