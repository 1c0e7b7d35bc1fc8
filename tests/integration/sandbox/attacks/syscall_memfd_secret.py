# Expect: refused
print(call('memfd_secret', 0))
