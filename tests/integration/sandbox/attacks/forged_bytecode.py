# Expect: STATUS_KILLED|STATUS_ERROR
def f():
    pass

f.__code__ = f.__code__.replace(co_code=bytes([100, 255]) * 64, co_stacksize=1)
f()
