# Expect: refused
print(call('io_uring_enter', 3, 1, 0, 0, 0))
