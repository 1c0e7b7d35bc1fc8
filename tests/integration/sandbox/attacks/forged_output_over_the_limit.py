# Expect: STATUS_OK
import socket
channel = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Node')._channel
import struct
channel.send(struct.pack('!B?IIII', 1, False, 0, 0, 0, 100000) + b'x' * 100000)
