# Expect: refused
print(call('io_setup', 1, ctypes.create_string_buffer(64)))
