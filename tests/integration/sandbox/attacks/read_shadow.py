# Expect: STATUS_ERROR FileNotFoundError
open('/etc/shadow').read()
