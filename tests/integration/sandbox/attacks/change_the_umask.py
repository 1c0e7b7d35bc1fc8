# Expect: STATUS_ERROR
import os
os.umask(0)
