# Expect: STATUS_KILLED|STATUS_ERROR|STATUS_OK
import sys
sys.addaudithook(lambda *a: 1 / 0)
