# Expect: STATUS_OK
import os
for _ in range(10**3):
    os.write(1, b'x' * 10**4)
