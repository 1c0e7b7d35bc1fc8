# Expect: STATUS_OK
import sys
sys.stdout = None
print('x')
