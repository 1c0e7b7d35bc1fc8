# Expect: STATUS_OK
'x' * 10**6
