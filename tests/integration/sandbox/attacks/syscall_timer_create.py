# Expect: refused
print(call('timer_create', 1, 0, ctypes.create_string_buffer(64)))
