# Expect: STATUS_TIMEOUT
9**9**9**9
