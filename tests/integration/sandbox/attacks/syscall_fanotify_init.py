# Expect: refused
print(call('fanotify_init', 0, 0))
