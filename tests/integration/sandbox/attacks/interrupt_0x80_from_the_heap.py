# Expect: STATUS_KILLED Killed
# As interrupt_0x80.py, but jumping into the page all the same.
import ctypes
code = ctypes.create_string_buffer(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(code))()
