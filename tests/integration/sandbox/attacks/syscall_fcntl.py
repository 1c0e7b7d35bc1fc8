# Expect: refused
print(call('fcntl', 0, 0, 0))
