# Expect: STATUS_TIMEOUT
import time
time.sleep(1000)
