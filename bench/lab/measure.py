"""Measuring a process and a forwarding table from outside."""

import ipaddress
import pathlib
import select
import socket
import struct
import threading
import time

RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTN_UNICAST = 1
RTA_DST, RTA_GATEWAY, RTA_VIA = 1, 5, 18
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, GROUPS = 270, 1, (7, 11)  # IPv4 and IPv6 routes


def cpu_seconds(pid):
    """Time on a CPU of all threads (scheduler's account, nanoseconds)."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid, what="VmRSS"):
    """MiB: VmRSS now, VmHWM the most there ever was."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(what)


MESSAGE, ATTRIBUTE = struct.Struct("=IH"), struct.Struct("=HH")  # length and kind of a message, an attribute


class Fib:
    """The unicast routes to the prefixes under `within` in one host, by the kernel's notifications; with `by_gateway` those
    over a neighbour alone, whatever else a daemon puts beside them."""

    def __init__(self, host, within, by_gateway=False):
        self.by_gateway = by_gateway
        network = ipaddress.ip_network(within)
        self.octets = network.max_prefixlen // 8
        self.beyond = network.max_prefixlen - network.prefixlen
        self.network = int(network.network_address) >> self.beyond
        self.present = set()
        self.changes = 0
        self.changed = threading.Condition()
        self.socket = host.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((0, 0))
        for group in GROUPS:
            self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        self.open = True
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    # Ten thousand at once, one message each: what takes long here would be measured as the router's time.
    def _listen(self):
        while self.open:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            with self.changed:
                for data in self._arrived():
                    self._read(data)
                self.changed.notify_all()

    def _arrived(self):
        for _ in range(200):
            try:
                yield self.socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return

    def _read(self, data):
        at = 0
        while at + 16 <= len(data):
            length, kind = MESSAGE.unpack_from(data, at)
            if kind in (RTM_NEWROUTE, RTM_DELROUTE):
                self._route(kind == RTM_NEWROUTE, data, at + 16, at + length)
            at += (length + 3) & ~3

    def _route(self, new, data, at, end):
        bits, route_type = data[at + 1], data[at + 7]
        at += 12
        destination, gateway = None, False
        while at + 4 <= end:
            length, attribute = ATTRIBUTE.unpack_from(data, at)
            if attribute == RTA_DST:
                destination = data[at + 4:at + length]
            gateway = gateway or attribute in (RTA_GATEWAY, RTA_VIA)
            at += max((length + 3) & ~3, 4)
        if destination and (gateway or not self.by_gateway):
            self._change(new and route_type == RTN_UNICAST, destination, bits)

    def _change(self, present, raw, bits):
        if len(raw) != self.octets or int.from_bytes(raw) >> self.beyond != self.network:
            return
        self.changes += 1
        if present:
            self.present.add((raw, bits))
        else:
            self.present.discard((raw, bits))

    def wait(self, count, seconds):
        """Until there are `count` routes: the time of that moment, None if it did not come."""
        return self._wait(lambda: len(self.present) == count, seconds)

    def wait_for_first(self, seconds):
        return self._wait(lambda: self.present, seconds)

    def _wait(self, question, seconds):
        end = time.monotonic() + seconds
        with self.changed:
            while not question():
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.changed.wait(left)
            return time.monotonic()

    def close(self):
        self.open = False
        self.thread.join()
        self.socket.close()


class Stream:
    """Packets from one host to another at a steady pace; tells what was lost and the longest silence."""

    PORT = 9999

    def __init__(self, source, destination, from_address, to_address, every=0.005):
        self.every = every
        self.arrivals = []  # (number, time)
        self.sent = 0
        self.receiver = destination.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.receiver.bind((to_address, self.PORT))
        self.receiver.settimeout(0.2)
        self.sender = source.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sender.bind((from_address, 0))
        self.to = (to_address, self.PORT)
        self.running = True
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        due = time.monotonic()
        while self.running:
            try:
                self.sender.sendto(struct.pack("=Q", self.sent), self.to)
            except OSError:
                pass  # no route just now: a loss like any other
            self.sent += 1
            due += self.every
            time.sleep(max(0, due - time.monotonic()))

    def _receive(self):
        while self.running:
            try:
                data = self.receiver.recv(64)
            except TimeoutError:
                continue
            self.arrivals.append((struct.unpack("=Q", data)[0], time.monotonic()))

    def silence(self, since):
        """The longest time without an arrival from `since` to now."""
        moments = [since] + [at for _, at in self.arrivals if at > since] + [time.monotonic()]
        return max(b - a for a, b in zip(moments, moments[1:]))

    def lost_between(self, first, last):
        """Of those sent with these numbers."""
        came = {number for number, _ in self.arrivals if first <= number < last}
        return last - first - len(came)

    def close(self):
        self.running = False
        for thread in self.threads:
            thread.join()
        self.receiver.close()
        self.sender.close()
