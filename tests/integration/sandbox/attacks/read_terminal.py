# Expect: STATUS_ERROR FileNotFoundError
open('/dev/tty').read()
