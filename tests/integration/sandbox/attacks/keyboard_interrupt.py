# Expect: STATUS_ERROR KeyboardInterrupt
raise KeyboardInterrupt
