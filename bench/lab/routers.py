"""Babel routers: ours, babeld and BIRD, each with the same links, timers and source of routes (protocol 250)."""

import json
import os
import pathlib

from . import measure

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARONET = os.environ.get("ARONET", str(ROOT / "build/release/aronet"))
SOURCE = 250  # the protocol number of the routes that routers announce


class Router:
    """A routing daemon in a host; `links` are names of interfaces. Without an update interval a router takes its own
    choice: a fixed one for babeld and BIRD, ours grows with what there is to tell. Links that are tunnels have their
    round trip time measured; BIRD of Debian 12 cannot do that."""

    def __init__(self, host, number, links, hello=4, update=16, tunnels=False):
        self.host, self.number, self.links = host, number, links
        self.hello, self.update = hello, update
        self.type = "tunnel" if tunnels else "wired"
        self.process = None

    def start(self):
        self.process = self.host.spawn(*self.command())

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def cpu(self):
        return measure.cpu_seconds(self.process.pid)

    def memory(self, what="VmRSS"):
        return measure.memory(self.process.pid, what)

    def bytes_sent(self):
        return self.host.bytes_sent(self.links)


class Babeld(Router):
    name = "babeld"

    def command(self):
        links = "\n".join(
            f"interface {link} type {self.type} hello-interval {self.hello} "
            f"update-interval {self.update or 4 * self.hello}" for link in self.links)
        configuration = self.host.file("babeld.conf", f"""\
skip-kernel-setup true
router-id 02:ff:ee:ff:fe:01:{self.number >> 8:02x}:{self.number & 255:02x}
{links}
redistribute proto {SOURCE} allow
redistribute local deny
redistribute deny
""")
        state = self.host.directory / "babeld.state"
        return "babeld", "-c", configuration, "-I", "", "-S", str(state)


class Bird(Router):
    name = "bird"

    def command(self):
        links = "\n".join(
            f'    interface "{link}" {{ type wired; hello interval {self.hello * 1000} ms; '
            f"update interval {(self.update or 4 * self.hello) * 1000} ms; }};" for link in self.links)
        configuration = self.host.file("bird.conf", f"""\
log stderr {{ warning, error, fatal, bug }};
router id 10.255.{self.number >> 8}.{self.number & 255};
protocol device {{ scan time 60; }}
protocol kernel k6 {{ scan time 60; learn; ipv6 {{ import where krt_source = {SOURCE};
    export where source = RTS_BABEL; }}; }}
protocol babel b {{
    ipv6 {{ import all; export where source = RTS_BABEL || source = RTS_INHERIT; }};
{links}
}}
""")
        control = self.host.directory / "bird.ctl"
        return "bird", "-f", "-c", configuration, "-s", str(control)


class Aronet(Router):
    name = "aronet"

    def command(self):
        intervals = {"hello_interval": f"{self.hello}s"}
        if self.update is not None:
            intervals["update_interval"] = f"{self.update}s"
        interfaces = [{"name": link, "type": self.type, **intervals} for link in self.links]
        configuration = self.host.file("aronet.json", json.dumps({
            "daemon": {"mode": "none"}, "endpoints": [], "log": {"level": "warning"},
            "babel": {"interfaces": interfaces, "redistribute": [{"protocol": SOURCE}]}}))
        return ARONET, "daemon", "run", "-c", configuration


ROUTERS = {r.name: r for r in (Aronet, Babeld, Bird)}
