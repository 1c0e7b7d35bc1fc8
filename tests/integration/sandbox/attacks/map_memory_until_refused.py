# Expect: STATUS_ERROR OSError
import mmap
l = []
while True:
    l.append(mmap.mmap(-1, 2**24))
