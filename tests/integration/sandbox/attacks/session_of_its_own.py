# Expect: STATUS_ERROR PermissionError
import os
os.setsid()
