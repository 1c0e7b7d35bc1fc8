# Expect: STATUS_ERROR PermissionError
import os
os.unlink('/etc/passwd')
