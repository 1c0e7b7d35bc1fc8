# Expect: STATUS_KILLED|STATUS_ERROR|STATUS_OK
import builtins
builtins.len = builtins.str = builtins.isinstance = lambda *a: 1 / 0
