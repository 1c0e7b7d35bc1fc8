# Expect: refused
print(call('acct', b'/'))
