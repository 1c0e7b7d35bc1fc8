# Expect: refused
print(call('name_to_handle_at', -100, b'/', ctypes.create_string_buffer(64), ctypes.create_string_buffer(64), 0))
