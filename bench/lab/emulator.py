"""Emulated Babel neighbours: one on each of many interfaces of one host, with one prefix each. They say what RFC 8966
asks of a neighbour (Hello, IHU, periodic Update, answers to acknowledgement and route requests) and keep a list of
what they were told."""

import socket
import struct
import threading
import time

GROUP, PORT = "ff02::1:6", 6696
JOINS_PER_SOCKET = 300
HELLO, UPDATE = 4.0, 16.0
ACK_REQUEST, ACK, HELLO_TLV, IHU, ROUTER_ID, UPDATE_TLV, ROUTE_REQUEST = 2, 3, 4, 5, 6, 8, 9
IPV6_PKTINFO = 50


def tlv(kind, body):
    return bytes((kind, len(body))) + body


def packet(*tlvs):
    body = b"".join(tlvs)
    return struct.pack(">BBH", 42, 2, len(body)) + body


class Peers:
    def __init__(self, host, count):
        self.count = count
        self.told = [set() for _ in range(count)]
        self.untold = count
        self.changed = threading.Condition()
        with host.entered():
            self.index = [socket.if_nametoindex(f"p{n}") for n in range(count)]
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.members = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                            for _ in range(0, count, JOINS_PER_SOCKET)]
        self.number = {index: n for n, index in enumerate(self.index)}
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        self.socket.bind(("::", PORT))
        group = socket.inet_pton(socket.AF_INET6, GROUP)
        for n, index in enumerate(self.index):
            self.members[n // JOINS_PER_SOCKET].setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", index))
        self.hub = [None] * count  # the hub's address on each link, once heard
        self.seqno = 0
        self.running = True
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._speak, self._listen)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        for thread in self.threads:
            thread.join()
        for s in (self.socket, *self.members):
            s.close()

    def wait_all_told(self, seconds):
        """Until each was told the prefixes of all others."""
        end = time.monotonic() + seconds
        with self.changed:
            while self.untold > 0:
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(min(left, 1))
            return time.monotonic()

    # ---- speaking ----

    def _speak(self):
        """Every peer once each Hello interval, spread evenly over it."""
        turn = 0
        due = time.monotonic()
        while self.running:
            updates = int(UPDATE / HELLO)
            for n in range(self.count):
                self._hello(n, turn, with_update=turn < 2 or (turn + n) % updates == 0)
                due += HELLO / self.count
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                if not self.running:
                    return
            turn += 1

    def _hello(self, n, turn, with_update):
        tlvs = [tlv(HELLO_TLV, struct.pack(">HHH", 0, turn & 0xffff, int(HELLO * 100)))]
        if self.hub[n]:
            tlvs.append(self._ihu(n))
        if with_update:
            tlvs += self._announcement(n)
        self._send(packet(*tlvs), GROUP, n)

    def _ihu(self, n):
        return tlv(IHU, struct.pack(">BBHH", 3, 0, 96, int(HELLO * 300)) + self.hub[n][8:])

    def _announcement(self, n):
        router_id = struct.pack(">II", 0x02fffe00, n + 2)
        prefix = struct.pack(">HHHH", 0x2001, 0x0db8, 0, n + 2)
        update = struct.pack(">BBBBHHH", 2, 0, 64, 0, int(UPDATE * 100), 1, 0) + prefix
        return [tlv(ROUTER_ID, b"\0\0" + router_id), tlv(UPDATE_TLV, update)]

    def _send(self, data, to, n):
        try:
            self.socket.sendto(data, (to, PORT, 0, self.index[n]))
        except OSError:
            pass  # the other end is not up yet

    # ---- listening ----

    def _listen(self):
        self.socket.settimeout(0.5)
        while self.running:
            try:
                data, ancillary, _, source = self.socket.recvmsg(65536, 64)
            except TimeoutError:
                continue
            n = self.number.get(source[3])
            if n is None or len(data) < 4:
                continue
            self._first_words(n, source)
            self._read(n, data, source)

    def _first_words(self, n, source):
        if self.hub[n] is None:
            self.hub[n] = socket.inet_pton(socket.AF_INET6, source[0].split("%")[0])
            self._send(packet(self._ihu(n)), source[0], n)

    def _read(self, n, data, source):
        at, end = 4, min(len(data), 4 + struct.unpack_from(">H", data, 2)[0])
        replies = []
        before = b""
        while at < end:
            kind = data[at]
            if kind == 0:
                at += 1
                continue
            body = data[at + 2:at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
            if kind == UPDATE_TLV and self.untold:
                before = self._update(n, body, before)
            elif kind == ACK_REQUEST:
                replies.append(tlv(ACK, body[2:4]))
            elif kind == ROUTE_REQUEST:
                replies += self._announcement(n)
        if replies:
            self._send(packet(*replies), source[0], n)

    def _update(self, n, body, before):
        """Notes the prefix; returns what the next may leave out of its own."""
        encoding, flags, length, omitted = body[:4]
        metric = struct.unpack_from(">H", body, 8)[0]
        prefix = before[:omitted] + body[10:10 + (length + 7) // 8 - omitted]
        if encoding == 2 and metric < 0xffff:
            told = self.told[n]
            size = len(told)
            told.add(prefix)
            # Its own prefix may or may not be told back (split horizon).
            own = struct.pack(">HHHH", 0x2001, 0x0db8, 0, n + 2)
            others = len(told) - (own in told)
            if len(told) != size and others == self.count - 1 and prefix != own:
                with self.changed:
                    self.untold -= 1
                    self.changed.notify_all()
        return prefix + bytes(16) if encoding == 2 and flags & 0x80 else before
