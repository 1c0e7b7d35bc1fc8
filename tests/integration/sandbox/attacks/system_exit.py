# Expect: STATUS_ERROR SystemExit
import sys
sys.exit(0)
