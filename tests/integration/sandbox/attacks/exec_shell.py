# Expect: STATUS_ERROR PermissionError
import os
os.execv('/bin/sh', ['sh'])
