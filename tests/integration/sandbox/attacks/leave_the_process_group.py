# Expect: STATUS_ERROR PermissionError
import os
os.setpgid(0, 0)
