# Expect: refused
print(call('syslog', 3, ctypes.create_string_buffer(64), 64))
