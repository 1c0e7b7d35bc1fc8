# Expect: STATUS_KILLED
import os
os._exit(0)
