# Expect: STATUS_TIMEOUT|STATUS_OUT_OF_MEMORY|STATUS_KILLED
l = []
while True:
    try:
        l.append(bytearray(10**7))
    except MemoryError:
        pass
