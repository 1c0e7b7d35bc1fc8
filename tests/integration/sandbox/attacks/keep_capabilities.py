# Expect: refused
print(call('prctl', 8, 1))
