# Expect: STATUS_KILLED
ctypes.string_at(0)
