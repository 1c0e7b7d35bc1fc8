# Expect: refused
print(call('epoll_create1', 0))
