# Expect: STATUS_ERROR FileNotFoundError
import os
os.listdir('/')
