# Expect: STATUS_ERROR
raise type('T' * 10**6, (Exception,), {})
