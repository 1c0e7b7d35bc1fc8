# Expect: STATUS_TIMEOUT|STATUS_OUT_OF_MEMORY
import sympy
x = sympy.symbols('x0:30')
sympy.expand((sum(x) + 1)**30)
