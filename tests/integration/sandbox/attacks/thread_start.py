# Expect: STATUS_ERROR RuntimeError
import threading
threading.Thread(target=print).start()
