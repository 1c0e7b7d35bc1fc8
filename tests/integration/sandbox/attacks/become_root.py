# Expect: STATUS_ERROR PermissionError
import os
os.setuid(0)
