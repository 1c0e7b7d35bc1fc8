# Expect: STATUS_ERROR PermissionError
import os
os.chown('/', 1, 1)
