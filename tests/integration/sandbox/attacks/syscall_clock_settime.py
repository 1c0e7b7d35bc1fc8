# Expect: refused
print(call('clock_settime', 0, ctypes.create_string_buffer(64)))
