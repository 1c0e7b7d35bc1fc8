# Expect: refused
import os
print('done' if os.path.exists('/etc') else 'refused')
