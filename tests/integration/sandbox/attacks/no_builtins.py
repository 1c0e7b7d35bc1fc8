# Expect: STATUS_KILLED|STATUS_ERROR|STATUS_OK
import builtins
builtins.__dict__.clear()
