# Expect: refused
print(call('perf_event_open', ctypes.create_string_buffer(120), 0, -1, -1, 0))
