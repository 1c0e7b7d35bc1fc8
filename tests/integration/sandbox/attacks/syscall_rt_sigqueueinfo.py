# Expect: refused
print(call('rt_sigqueueinfo', libc.getppid(), 9, ctypes.create_string_buffer(128)))
