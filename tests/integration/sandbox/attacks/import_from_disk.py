# Expect: STATUS_ERROR ModuleNotFoundError
import sqlite3
