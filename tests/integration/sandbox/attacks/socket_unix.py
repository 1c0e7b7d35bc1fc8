# Expect: STATUS_ERROR PermissionError
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
