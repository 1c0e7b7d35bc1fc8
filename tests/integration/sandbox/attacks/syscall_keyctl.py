# Expect: refused
print(call('keyctl', 0, -3, 0))
