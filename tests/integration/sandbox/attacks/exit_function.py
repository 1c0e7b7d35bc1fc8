# Expect: STATUS_OK
import atexit, os
atexit.register(os.abort)
