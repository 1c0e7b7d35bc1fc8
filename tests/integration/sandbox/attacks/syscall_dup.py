# Expect: refused
print(call('dup', 0))
