# Expect: STATUS_OUT_OF_MEMORY|STATUS_TIMEOUT
s = 'x'
while True:
    s += s
