# Expect: refused
print(call('mq_open', b'/x', 0o102, 0o600, 0))
