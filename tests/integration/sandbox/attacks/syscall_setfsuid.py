# Expect: refused
print(call('setfsuid', 0))
