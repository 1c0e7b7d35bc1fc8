# Expect: STATUS_ERROR
import mmap
mmap.mmap(0, 4096)
