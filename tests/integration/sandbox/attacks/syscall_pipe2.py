# Expect: refused
print(call('pipe2', ctypes.create_string_buffer(64), 0))
