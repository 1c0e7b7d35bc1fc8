# Expect: refused
print(call('pidfd_send_signal', 3, 9, 0, 0))
