# Expect: refused
print(call('arch_prctl', 0x1002, 0))
