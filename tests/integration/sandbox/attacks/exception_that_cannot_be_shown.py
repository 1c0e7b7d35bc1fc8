# Expect: STATUS_ERROR
class E(Exception):
    def __str__(self):
        raise SystemExit

raise E
