# Expect: refused
print(call('prctl', 4, 1))
