# Expect: STATUS_OK
import sys
sys.settrace(lambda *a: None)
