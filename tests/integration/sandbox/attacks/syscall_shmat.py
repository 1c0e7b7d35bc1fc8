# Expect: refused
print(call('shmat', 0, 0, 0))
