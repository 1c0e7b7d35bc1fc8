# Expect: STATUS_ERROR ValueError
raise ValueError('x' * 10**7)
