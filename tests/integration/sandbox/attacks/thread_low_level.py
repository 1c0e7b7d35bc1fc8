# Expect: STATUS_ERROR RuntimeError
import _thread
_thread.start_new_thread(print, ())
