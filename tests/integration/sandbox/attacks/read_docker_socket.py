# Expect: STATUS_ERROR FileNotFoundError
open('/var/run/docker.sock').read()
