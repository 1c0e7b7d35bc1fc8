# Expect: STATUS_ERROR PermissionError
import socket
channel = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Node')._channel
channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
