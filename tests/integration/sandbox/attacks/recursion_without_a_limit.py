# Expect: STATUS_KILLED|STATUS_OUT_OF_MEMORY|STATUS_TIMEOUT|STATUS_ERROR
import sys
sys.setrecursionlimit(2**31 - 1)

class C:
    def __getattr__(self, name):
        return getattr(self, name + 'x')

C().x
