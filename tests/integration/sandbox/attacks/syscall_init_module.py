# Expect: refused
print(call('init_module', ctypes.create_string_buffer(64), 8, b''))
