# Expect: refused
print(call('seccomp', 1, 8, ctypes.create_string_buffer(64)))
