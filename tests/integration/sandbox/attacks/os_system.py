# Expect: refused
import os
print('refused' if os.system('true') else 'done')
