# Expect: STATUS_ERROR PermissionError
import os
os.rename('/tmp', '/tmp2')
