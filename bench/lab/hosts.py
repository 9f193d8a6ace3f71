"""Hosts: processes that hold a network and a mount namespace. When they end, everything in them is gone."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_home = os.open("/proc/self/ns/net", os.O_RDONLY)


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    def __init__(self, name):
        self.name = name
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"aronet-bench.{name}."))
        self.children = []
        ready = self.directory / "ready"
        self.holder = subprocess.Popen(
            ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs tmpfs /run && mkdir -p /run/netns && echo >{ready} && exec sleep infinity"])
        while not ready.exists():
            time.sleep(0.005)
        self.namespace = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        self.ip("link set lo up")
        # Addresses are there at once: waiting for duplicates is no router's work.
        for setting in ("ipv6/conf/all/forwarding=1", "ipv4/conf/all/forwarding=1", "ipv6/conf/default/accept_dad=0"):
            name, _, value = setting.partition("=")
            self.run("sh", "-c", f"echo {value} >/proc/sys/net/{name}")

    def _inside(self, command):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "--", *command]

    def run(self, *command, text=None):
        done = subprocess.run(self._inside(command), input=text, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def ip(self, *lines):
        """Lines as `ip -batch` takes them."""
        return self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def spawn(self, *command):
        """A daemon in this host; what it says goes to a file in its directory."""
        with open(self.directory / "log", "ab") as log:
            child = subprocess.Popen(self._inside(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)
        return child  # nsenter executes the command in its own place: this is the daemon's process

    def speaking(self, *command):
        """A program in this host whose input and output are the caller's."""
        child = subprocess.Popen(self._inside(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.children.append(child)
        return child

    @contextlib.contextmanager
    def entered(self):
        _enter(self.namespace)
        try:
            yield
        finally:
            _enter(_home)

    def socket(self, *kind):
        with self.entered():
            return socket.socket(*kind)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def bytes_sent(self, interfaces):
        """Bytes and packets that left through the interfaces."""
        wanted, sums = set(interfaces), [0, 0]
        with self.entered():
            # /sys shows the namespace it was mounted in; /proc/thread-self/net that of the thread.
            lines = pathlib.Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
        for line in lines:
            name, _, numbers = line.partition(":")
            if name.strip() in wanted:
                columns = numbers.split()
                sums[0] += int(columns[8])
                sums[1] += int(columns[9])
        return tuple(sums)

    def links_have_addresses(self):
        links = json.loads(self.run("ip", "-j", "addr"))
        return all(any(a.get("scope") == "link" and not a.get("tentative") for a in link["addr_info"])
                   for link in links if link["ifname"] != "lo")

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()
        os.close(self.namespace)
        subprocess.run(["rm", "-rf", str(self.directory)], check=True)


@contextlib.contextmanager
def hosts(names):
    """Hosts by name, gone afterwards whatever happened."""
    made = {}
    try:
        for name in names:
            made[name] = Host(name)
        yield made
    finally:
        for host in made.values():
            host.close()


def settle(*who, seconds=120):
    """Until every link has its address: the kernel tells of a carrier late, and what starts before sends in vain."""
    end = time.monotonic() + seconds
    for host in who:
        while not host.links_have_addresses():
            if time.monotonic() > end:
                raise RuntimeError(f"{host.name}: links without addresses")
            time.sleep(0.05)


def cable(a, interface_a, b, interface_b):
    cables(a, b, [(interface_a, interface_b)])


def cables(a, b, pairs):
    a.ip(*(f"link add {x} type veth peer name {y} netns {b.holder.pid}" for x, y in pairs))
    a.ip(*(f"link set {x} up" for x, _ in pairs))
    b.ip(*(f"link set {y} up" for _, y in pairs))
