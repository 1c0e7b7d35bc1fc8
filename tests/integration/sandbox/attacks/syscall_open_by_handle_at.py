# Expect: refused
print(call('open_by_handle_at', -100, ctypes.create_string_buffer(64), 0))
