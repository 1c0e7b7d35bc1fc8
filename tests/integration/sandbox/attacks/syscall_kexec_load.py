# Expect: refused
print(call('kexec_load', 0, 0, 0, 0))
