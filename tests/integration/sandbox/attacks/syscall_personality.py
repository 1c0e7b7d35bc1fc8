# Expect: refused
print(call('personality', 0x0040000))
