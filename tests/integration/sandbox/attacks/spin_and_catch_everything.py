# Expect: STATUS_TIMEOUT
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
