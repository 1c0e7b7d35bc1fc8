# Expect: STATUS_KILLED
ctypes.memset(8, 0, 8)
