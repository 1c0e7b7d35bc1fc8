# Expect: STATUS_ERROR
import socket
socket.gethostbyname('example.org')
