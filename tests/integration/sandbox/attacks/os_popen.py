# Expect: STATUS_ERROR
import os
os.popen('true').read()
