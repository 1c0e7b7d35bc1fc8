# Expect: STATUS_TIMEOUT|STATUS_OUT_OF_MEMORY
import itertools
sorted(itertools.count())
