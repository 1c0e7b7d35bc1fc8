# Expect: STATUS_ERROR FileNotFoundError
open('/dev/null').read()
