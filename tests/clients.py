"""Callers of a control socket that mean no good: clients.py SOCKET SECONDS KIND=COUNT...

silent   says nothing            half    the beginning of a request       junk    bytes of any kind
endless  a line of 100 MB        slow    asks, and reads a byte a second   hungry  asks over and over
put      offers 64 MB that it may not load
Prints how many of each were let in.
"""

import collections
import os
import random
import selectors
import socket
import sys
import time

path, seconds = sys.argv[1], float(sys.argv[2])
END = time.monotonic() + seconds
ASK = b"GET /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n"
OPENINGS = {
    "silent": b"",
    "half": b"GET /v1/sta",
    "junk": os.urandom(65536),
    "endless": b"GET /" + b"a" * 100_000_000,
    "slow": ASK * 200,
    "hungry": ASK,
    "put": b"PUT /v1/registry HTTP/1.1\r\nContent-Length: 67108864\r\n\r\n" + b" " * 67_108_864,
}
waiting = [kind for kind, count in (word.split("=") for word in sys.argv[3:]) for _ in range(int(count))]
random.Random(1).shuffle(waiting)
connected = collections.Counter()
selector = selectors.DefaultSelector()


class Caller:
    def __init__(self, kind):
        self.kind, self.left = kind, memoryview(OPENINGS[kind])
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect(path)
        connected[kind] += 1
        self.due = 0.0
        selector.register(self.socket, selectors.EVENT_WRITE | selectors.EVENT_READ, self)

    def turn(self, events):
        if events & selectors.EVENT_WRITE and self.left:
            self.left = self.left[self.socket.send(self.left[:1 << 20]):]
        if not self.left:
            selector.modify(self.socket, selectors.EVENT_READ, self)
        if events & selectors.EVENT_READ:
            if self.kind == "slow":
                if time.monotonic() < self.due:
                    return
                self.due = time.monotonic() + 1
            said = self.socket.recv(1 if self.kind == "slow" else 1 << 16)
            if not said:
                raise ConnectionError
            if self.kind == "hungry":
                self.left = memoryview(ASK)
                selector.modify(self.socket, selectors.EVENT_WRITE | selectors.EVENT_READ, self)


while time.monotonic() < END:
    full = False
    while waiting and not full:
        try:
            Caller(waiting[-1])
            waiting.pop()
        except BlockingIOError:  # the backlog is
            full = True
    for key, events in selector.select(0.05):
        try:
            key.data.turn(events)
        except BlockingIOError:
            pass
        except OSError:
            selector.unregister(key.fileobj)
            key.fileobj.close()
            waiting.insert(0, key.data.kind)  # comes again
    time.sleep(0.01)
print(*(f"{kind}={count}" for kind, count in sorted(connected.items())))
