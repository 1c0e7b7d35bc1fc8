# Expect: STATUS_ERROR PermissionError
import socket
socket.socket(socket.AF_CAN, socket.SOCK_RAW)
