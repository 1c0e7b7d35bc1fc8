# Expect: refused
print(call('sethostname', b'x', 1))
