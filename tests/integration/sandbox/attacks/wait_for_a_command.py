# Expect: STATUS_TIMEOUT
import socket
channel = next(o for o in __import__('gc').get_objects() if isinstance(o, socket.socket) and o.fileno() >= 3)
channel.recv(10)
