# Expect: STATUS_ERROR PermissionError
import socket
socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
