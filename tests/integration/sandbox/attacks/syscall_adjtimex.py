# Expect: refused
print(call('adjtimex', ctypes.create_string_buffer(256)))
