# Expect: STATUS_ERROR PermissionError
import os
os.kill(os.getppid(), 9)
