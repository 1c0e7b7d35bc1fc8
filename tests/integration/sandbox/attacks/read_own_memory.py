# Expect: STATUS_ERROR FileNotFoundError
open('/proc/self/mem').read()
