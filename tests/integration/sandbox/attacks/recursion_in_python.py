# Expect: STATUS_ERROR RecursionError
def f():
    f()

f()
