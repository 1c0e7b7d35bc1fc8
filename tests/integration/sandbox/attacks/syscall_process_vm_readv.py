# Expect: refused
print(call('process_vm_readv', libc.getppid(), ctypes.create_string_buffer(64), 1, ctypes.create_string_buffer(64), 1, 0))
