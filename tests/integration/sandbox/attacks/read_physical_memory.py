# Expect: STATUS_ERROR FileNotFoundError
open('/dev/mem').read()
