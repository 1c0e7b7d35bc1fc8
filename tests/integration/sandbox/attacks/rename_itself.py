# Expect: refused
print(call('prctl', 15, b'sshd'))
