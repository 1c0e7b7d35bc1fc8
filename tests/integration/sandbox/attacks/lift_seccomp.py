# Expect: refused
print(call('prctl', 22, 0))
