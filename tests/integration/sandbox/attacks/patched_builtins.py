# Expect: STATUS_OK
import builtins
builtins.print = builtins.open = None
