# Expect: STATUS_ERROR PermissionError
import os
os.sched_setaffinity(0, {0})
