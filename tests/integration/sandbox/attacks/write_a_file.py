# Expect: STATUS_ERROR FileNotFoundError
open('/tmp/left-behind', 'w').write('x')
