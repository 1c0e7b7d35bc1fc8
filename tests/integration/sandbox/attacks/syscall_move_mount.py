# Expect: refused
print(call('move_mount', 3, b'', -100, b'/', 0))
