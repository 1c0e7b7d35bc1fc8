# Expect: refused
print(call('vfork'))
