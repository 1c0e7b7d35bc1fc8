# Expect: refused
# The old 32-bit entry, int 0x80, needs machine code of one's own; no page can be made to hold any.
import ctypes
import mmap
code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
try:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except OSError:
    page = mmap.mmap(-1, 4096)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
libc = ctypes.CDLL(None, use_errno=True)
executable = libc.mprotect(ctypes.c_void_p(address), 4096, 5) == 0
print("done" if executable else "refused")
