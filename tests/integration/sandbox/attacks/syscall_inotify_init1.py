# Expect: refused
print(call('inotify_init1', 0))
