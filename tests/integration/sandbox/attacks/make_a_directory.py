# Expect: STATUS_ERROR PermissionError
import os
os.mkdir('/tmp/left-behind')
