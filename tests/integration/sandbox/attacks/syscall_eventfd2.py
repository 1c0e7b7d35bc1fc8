# Expect: refused
print(call('eventfd2', 0, 0))
