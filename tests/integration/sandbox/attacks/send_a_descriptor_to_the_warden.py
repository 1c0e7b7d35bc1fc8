# Expect: STATUS_ERROR PermissionError
import socket
channel = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Node')._channel
socket.send_fds(channel, [b'x'], [0])
