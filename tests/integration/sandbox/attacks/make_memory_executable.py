# Expect: refused
import mmap
memory = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
print('refused' if libc.mprotect(ctypes.c_void_p(address), 4096, 7) else 'done')
