# Expect: refused
print(call('capset', ctypes.create_string_buffer(8), ctypes.create_string_buffer(24)))
