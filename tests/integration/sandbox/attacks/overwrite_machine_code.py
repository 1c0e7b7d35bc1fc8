# Expect: STATUS_KILLED
ctypes.memset(ctypes.cast(libc.getpid, ctypes.c_void_p).value, 0x90, 16)
