# Expect: STATUS_TIMEOUT
import socket
channel = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Node')._channel
channel.recv(10)
