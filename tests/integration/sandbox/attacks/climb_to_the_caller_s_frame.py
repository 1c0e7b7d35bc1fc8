# Expect: STATUS_OK
import sys
frame = sys._getframe()
while frame.f_back:
    frame = frame.f_back
    frame.f_locals.clear()
