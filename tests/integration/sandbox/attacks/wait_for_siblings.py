# Expect: STATUS_ERROR
import os
os.wait()
