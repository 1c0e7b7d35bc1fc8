# Expect: STATUS_OK|STATUS_ERROR
import sys
sys.stdout.close()
