# Expect: STATUS_OUTPUT_LIMIT
while True:
    print('x' * 1000)
