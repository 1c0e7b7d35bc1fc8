# Expect: STATUS_ERROR PermissionError
import subprocess
subprocess.run(['/bin/true'])
