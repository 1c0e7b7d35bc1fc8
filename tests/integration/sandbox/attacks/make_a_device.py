# Expect: STATUS_ERROR PermissionError
import os
os.mknod('/tmp/left-behind')
