# Expect: STATUS_ERROR PermissionError
import os
os.memfd_create('x')
