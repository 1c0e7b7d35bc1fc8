# Expect: STATUS_ERROR FileNotFoundError
open('/proc/1/environ').read()
