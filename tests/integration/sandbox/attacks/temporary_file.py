# Expect: STATUS_ERROR FileNotFoundError
import tempfile
tempfile.TemporaryFile()
