# Expect: STATUS_ERROR PermissionError
import os
os.setgid(1)
