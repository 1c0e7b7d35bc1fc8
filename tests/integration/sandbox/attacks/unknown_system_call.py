# Expect: refused
print('refused' if libc.syscall(9999) < 0 else 'done')
