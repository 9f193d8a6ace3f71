"""strongSwan's control protocol, as far as it is needed: a command and its answer."""

import pathlib
import socket
import struct
import time

REQUEST, RESPONSE = 0, 1
SECTION, END, VALUE, LIST, ITEM, LIST_END = range(1, 7)


class Vici:
    def __init__(self, path, seconds=60):
        end = time.monotonic() + seconds
        while not pathlib.Path(path).exists():
            if time.monotonic() > end:
                raise RuntimeError(f"{path} does not appear")
            time.sleep(0.02)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))

    def ask(self, command, **values):
        body = b"".join(struct.pack(">BB", VALUE, len(k)) + k.encode() + struct.pack(">H", len(v)) + v.encode()
                        for k, v in values.items())
        packet = struct.pack(">BB", REQUEST, len(command)) + command.encode() + body
        self.socket.sendall(struct.pack(">I", len(packet)) + packet)
        answer = self._read(struct.unpack(">I", self._read(4))[0])
        if answer[0] != RESPONSE:
            raise RuntimeError(f"{command}: refused")
        return parse(answer[1:])

    def _read(self, count):
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data


def parse(data):
    """Sections as dictionaries, lists as lists."""
    at, sections, items = 0, [{}], None

    def text(size):
        nonlocal at
        length = int.from_bytes(data[at:at + size])
        at += size + length
        return data[at - length:at].decode()

    while at < len(data):
        kind = data[at]
        at += 1
        if kind == SECTION:
            sections.append(sections[-1].setdefault(text(1), {}))
        elif kind == END:
            sections.pop()
        elif kind == VALUE:
            name = text(1)
            sections[-1][name] = text(2)
        elif kind == LIST:
            items = sections[-1].setdefault(text(1), [])
        elif kind == ITEM:
            items.append(text(2))
        elif kind == LIST_END:
            items = None
    return sections[0]
