# Expect: STATUS_OUT_OF_MEMORY|STATUS_TIMEOUT
l = []
while True:
    l.append(bytearray(10**6))
