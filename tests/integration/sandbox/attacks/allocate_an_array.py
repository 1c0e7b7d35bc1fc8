# Expect: STATUS_OUT_OF_MEMORY
import numpy
numpy.ones(10**11)
