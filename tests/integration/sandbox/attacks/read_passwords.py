# Expect: STATUS_ERROR FileNotFoundError
open('/etc/passwd').read()
