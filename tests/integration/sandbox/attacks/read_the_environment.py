# Expect: refused
import os
print('done' if dict(os.environ) else 'refused')
