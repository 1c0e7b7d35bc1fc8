# Expect: STATUS_ERROR OSError
ctypes.CDLL('libz.so.1.999')
