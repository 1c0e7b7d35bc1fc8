# Expect: refused
print(call('sysinfo', ctypes.create_string_buffer(128)))
