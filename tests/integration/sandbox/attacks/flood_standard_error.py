# Expect: STATUS_OK
import sys
for _ in range(10**4):
    sys.stderr.write('x' * 1000)
