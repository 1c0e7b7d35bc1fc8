# Expect: refused
print(call('quotactl', 0, b'/', 0, 0))
