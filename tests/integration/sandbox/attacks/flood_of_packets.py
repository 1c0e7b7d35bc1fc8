# Expect: STATUS_KILLED|STATUS_TIMEOUT
import socket
channel = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Node')._channel
while True:
    channel.send(b'x' * 1000)
