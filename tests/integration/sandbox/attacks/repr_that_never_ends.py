# Expect: STATUS_TIMEOUT
class R:
    def __repr__(self):
        while True:
            pass

R()
