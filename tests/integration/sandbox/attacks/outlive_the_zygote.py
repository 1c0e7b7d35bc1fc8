# Expect: refused
print(call('prctl', 1, 0))
