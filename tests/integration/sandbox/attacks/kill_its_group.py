# Expect: STATUS_ERROR PermissionError
import os
os.kill(0, 9)
