# Expect: refused
print(call('signalfd4', -1, ctypes.create_string_buffer(64), 8, 0))
