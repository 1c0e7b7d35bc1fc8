# Expect: STATUS_ERROR|STATUS_KILLED|STATUS_TIMEOUT
a = []
for _ in range(10**6):
    a = [a]
repr(a)
