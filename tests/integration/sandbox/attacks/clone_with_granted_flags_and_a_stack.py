# Expect: refused
stack = ctypes.create_string_buffer(4096)
print(call('clone', 0x8011, ctypes.byref(stack, 4000), 0, 0, 0))
