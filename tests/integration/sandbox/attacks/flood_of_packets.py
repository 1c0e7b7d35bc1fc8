# Expect: STATUS_KILLED|STATUS_TIMEOUT
import socket
channel = next(o for o in __import__('gc').get_objects() if isinstance(o, socket.socket) and o.fileno() >= 3)
while True:
    channel.send(b'x' * 1000)
