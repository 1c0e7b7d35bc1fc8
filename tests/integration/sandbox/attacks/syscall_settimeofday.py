# Expect: refused
print(call('settimeofday', ctypes.create_string_buffer(64), 0))
