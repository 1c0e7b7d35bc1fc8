# Expect: refused
print(call('userfaultfd', 1))
