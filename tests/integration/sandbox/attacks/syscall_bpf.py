# Expect: refused
print(call('bpf', 5, ctypes.create_string_buffer(120), 120))
