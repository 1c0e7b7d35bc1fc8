# Expect: STATUS_KILLED|refused|STATUS_OK
print('refused' if libc.syscall(ctypes.c_ulong(1 << 32 | 9999)) < 0 else 'done')
