# Expect: refused
import os
found = []
for descriptor in range(256):
    try:
        if os.read(descriptor, 1):
            found.append(descriptor)
    except OSError:
        pass
    if descriptor == 2:
        break
print('done' if found else 'refused')
