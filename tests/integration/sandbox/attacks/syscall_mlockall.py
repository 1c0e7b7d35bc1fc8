# Expect: refused
print(call('mlockall', 3))
