"""A service manager's socket for states (sd_notify(3)): notify_socket.py PATH prints what it is told, until it is killed."""

import os
import socket
import sys

receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
while True:
    print(receiver.recv(4096).decode(), flush=True)
