# Expect: STATUS_ERROR PermissionError
import os
os.truncate('/etc/passwd', 0)
