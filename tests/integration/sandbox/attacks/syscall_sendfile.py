# Expect: refused
print(call('sendfile', 3, 0, 0, 8))
