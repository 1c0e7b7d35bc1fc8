# Expect: refused
print(call('splice', 3, 0, 0, 0, 8, 0))
