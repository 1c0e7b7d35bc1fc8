# Expect: refused
here = ctypes.c_int()
address = ctypes.addressof(here) & ~4095
print('refused' if libc.mprotect(ctypes.c_void_p(address), 4096, 7) else 'done')
