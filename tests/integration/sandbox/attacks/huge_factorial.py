# Expect: STATUS_TIMEOUT
import math
math.factorial(10**9)
