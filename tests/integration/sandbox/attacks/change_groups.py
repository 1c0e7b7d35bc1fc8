# Expect: STATUS_ERROR PermissionError
import os
os.setgroups([1])
