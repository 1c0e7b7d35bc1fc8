# Expect: STATUS_ERROR PermissionError
import socket
socket.socketpair()
