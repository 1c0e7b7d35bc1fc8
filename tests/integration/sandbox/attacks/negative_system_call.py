# Expect: STATUS_KILLED|refused
print('refused' if libc.syscall(-1) < 0 else 'done')
