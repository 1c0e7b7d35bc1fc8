# Expect: STATUS_ERROR PermissionError
import os
os.posix_spawn('/bin/true', ['true'], {})
