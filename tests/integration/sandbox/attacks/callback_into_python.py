# Expect: STATUS_OUT_OF_MEMORY|STATUS_KILLED|STATUS_ERROR|STATUS_OK
function = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
function()
