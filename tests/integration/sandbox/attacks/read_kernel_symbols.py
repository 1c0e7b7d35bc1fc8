# Expect: STATUS_ERROR FileNotFoundError
open('/proc/kallsyms').read()
