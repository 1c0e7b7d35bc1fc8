# Expect: refused
print(call('landlock_create_ruleset', ctypes.create_string_buffer(64), 8, 0))
