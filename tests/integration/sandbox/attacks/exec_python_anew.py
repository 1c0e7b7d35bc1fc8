# Expect: STATUS_ERROR PermissionError
import os, sys
os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])
