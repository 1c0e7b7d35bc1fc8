# Expect: STATUS_KILLED
import os
os.closerange(0, 256)
