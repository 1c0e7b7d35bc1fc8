# Expect: STATUS_ERROR PermissionError
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
