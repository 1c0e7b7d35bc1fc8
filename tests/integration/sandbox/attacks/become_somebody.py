# Expect: STATUS_ERROR PermissionError
import os
os.setresuid(1, 1, 1)
