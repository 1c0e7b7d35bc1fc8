# Expect: refused
print(call('umount2', b'/', 0))
