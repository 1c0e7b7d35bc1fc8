# Expect: refused
print(call('pkey_mprotect', 0, 4096, 7, 0))
