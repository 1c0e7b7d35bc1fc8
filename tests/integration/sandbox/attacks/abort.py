# Expect: STATUS_KILLED
import os
os.abort()
