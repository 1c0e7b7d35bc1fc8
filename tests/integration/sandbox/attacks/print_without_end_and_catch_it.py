# Expect: STATUS_OUTPUT_LIMIT
while True:
    try:
        while True:
            print('x' * 1000)
    except BaseException:
        pass
