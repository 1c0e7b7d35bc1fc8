# Expect: STATUS_KILLED|refused
print('refused' if libc.syscall(0x40000000 | 520, b'/bin/true', 0, 0) < 0 else 'done')
