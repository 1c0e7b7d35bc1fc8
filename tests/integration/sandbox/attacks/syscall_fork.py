# Expect: refused
print(call('fork'))
