# Expect: STATUS_TIMEOUT
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
