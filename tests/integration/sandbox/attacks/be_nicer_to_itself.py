# Expect: STATUS_ERROR PermissionError
import os
os.nice(-5)
