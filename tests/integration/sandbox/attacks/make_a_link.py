# Expect: STATUS_ERROR PermissionError
import os
os.symlink('/', '/tmp/left-behind')
