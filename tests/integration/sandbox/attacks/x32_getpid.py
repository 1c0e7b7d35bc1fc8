# Expect: STATUS_KILLED|refused
print('refused' if libc.syscall(0x40000000 | 39) < 0 else 'done')
