# Expect: STATUS_ERROR PermissionError
import os
os.kill(-1, 9)
