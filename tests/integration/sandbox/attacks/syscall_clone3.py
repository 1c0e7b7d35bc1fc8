# Expect: refused
print(call('clone3', ctypes.create_string_buffer(88), 88))
