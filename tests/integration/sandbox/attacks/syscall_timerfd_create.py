# Expect: refused
print(call('timerfd_create', 1, 0))
