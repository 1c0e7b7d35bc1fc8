# Expect: STATUS_ERROR PermissionError
import os
os.chmod('/', 0)
