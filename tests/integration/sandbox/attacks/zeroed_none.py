# Expect: STATUS_KILLED|STATUS_ERROR|STATUS_OK
ctypes.memset(id(None), 0, 16)
