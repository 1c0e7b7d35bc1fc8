# Expect: STATUS_OUT_OF_MEMORY
bytes(10**12)
