# Expect: refused
print(call('modify_ldt', 0, ctypes.create_string_buffer(64), 64))
