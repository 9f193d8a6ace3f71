#!/usr/bin/env python3
"""audit.py SOCKET: a node against its kernel, in the node's host. Prints what only one of the two has; exit status 1 then.

Tunnels' interfaces, SAs, policies, routes through tunnels and rules have to be exactly those that the node tells of: none
is missing, none is left over, none leads elsewhere.
"""

import collections
import ipaddress
import json
import re
import socket
import subprocess
import sys


def ask(path, what):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(f"GET /v1/{what} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: peer.recv(1 << 16), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def ip_json(*arguments):
    return json.loads(ip("-j", *arguments) or "[]")


def address_of(endpoint):
    return str(ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]")))


def name_of(if_id):
    """The tunnels' names are their numbers."""
    return f"aronet-{int(str(if_id), 0):08x}"


def node_of(address):
    """What the addresses of a node on shared links have in common."""
    return address and str(ipaddress.ip_network(f"{address}/112", strict=False))


def prefix(text, family):
    return str(ipaddress.ip_network({"default": "::/0" if family == "-6" else "0.0.0.0/0"}.get(text, text)))


class Told:
    def __init__(self, path):
        self.status = ask(path, "status")
        self.tunnels = ask(path, "tunnels")["tunnels"]
        self.selected = [route for route in ask(path, "routes")["routes"] if route["selected"]]
        self.names = {tunnel["interface"] for tunnel in self.tunnels}
        # Of tunnels that share a link: by what address their peer is known on it.
        self.sharing = {tunnel["interface"] for tunnel in self.tunnels if tunnel["link"] not in (None, tunnel["interface"])}
        self.neighbours = {each["interface"]: each["address"] for each in ask(path, "neighbours")["neighbours"]}

    def things(self):
        yield from (("link", name, "up") for name in {tunnel["link"] for tunnel in self.tunnels} - {None})
        yield from (("way", name, self.neighbours.get(name)) for name in self.sharing)
        for route in self.selected:
            if route["interface"] in self.names:
                yield ("route", route["destination"], prefix(route["source"], "-6" if ":" in route["source"] else "-4"),
                       route["interface"], route["next_hop"])
        # Our own ESP has its keys to itself: of a tunnel the kernel knows the device.
        of_kernel = self.status["datapath"] == "kernel"
        yield ("tunnels that are up", self.status["tunnels"]["up" if of_kernel else "total"])
        for family in ("-4", "-6") if self.status["mode"] != "none" else ():
            yield ("rule", family, 32000)
        if of_kernel:
            yield from self.associations()

    def associations(self):
        for tunnel in self.tunnels:
            if tunnel["state"] not in ("linked", "routed"):
                continue
            name = tunnel["interface"]
            here, there = address_of(tunnel["local"]), address_of(tunnel["remote"])
            yield ("SA", name, here, there, tunnel["spi_out"])
            yield ("SA", name, there, here, tunnel["spi_in"])
            for any_address in ("0.0.0.0/0", "::/0"):
                yield ("policy", name, any_address, "out", here, there, tunnel["spi_out"])
                for direction in ("in", "fwd"):
                    yield ("policy", name, any_address, direction, there, here, "")
            if name in self.sharing:
                yield ("policy", name, "fe80::/10", "in", "refused")
                yield ("policy", name, node_of(self.neighbours.get(name)), "in", there, here, "")
            elif self.status["links"] == "shared":
                yield ("policy", name, "fe80::/10", "in", "refused")
                yield ("policy", name, "fe80::/10", "in", there, here, "")


class Kernel:
    def __init__(self, told):
        self.told = told
        mode = told.status["mode"]
        self.inside = ["-n", told.status["ifname"]] if mode == "netns" else []
        self.table = "128" if mode == "vrf" else "main"
        self.links = {link["ifname"]: link for link in ip_json(*self.inside, "-d", "link", "show")
                      if re.fullmatch("aronet-([0-9a-f]+|x)", link["ifname"])}

    def things(self):
        yield from (("link", name, "up" if "UP" in link["flags"] else "down") for name, link in self.links.items())
        for family in ("-4", "-6"):
            yield from self.routes(family)
            for rule in ip_json(family, "rule", "show"):
                if str(rule.get("protocol")) == "140":
                    yield ("rule", family, rule["priority"])
        if self.told.status["datapath"] == "kernel":
            yield from self.associations()
        else:
            yield ("tunnels that are up", sum("LOWER_UP" in link["flags"] for link in self.links.values()))

    def routes(self, family):
        for route in ip_json(*self.inside, family, "route", "show", "table", self.table, "proto", "140"):
            if route.get("dev") not in self.links or route.get("encap") not in (None, "xfrm"):
                continue
            over = name_of(route["if_id"]) if route.get("encap") else route["dev"]
            next_hop = route.get("gateway") or route.get("via", {}).get("host")
            if next_hop is None:
                yield ("way", over, route["dst"])
            else:
                yield ("route", prefix(route["dst"], family), prefix(route.get("from", "default"), family), over, next_hop)

    def associations(self):
        def tunnel_of(text):
            return name_of(re.search("if_id (0x[0-9a-f]+)", text)[1])

        outbound = 0
        for state in re.split("^(?=src )", ip("xfrm", "state"), flags=re.M)[1:]:
            source, destination, spi = re.search(r"src (\S+) dst (\S+)\s+proto esp spi 0x([0-9a-f]+)", state).groups()
            yield ("SA", tunnel_of(state), source, destination, spi)
        for policy in re.split("^(?=src )", ip("xfrm", "policy"), flags=re.M)[1:]:
            if "if_id" not in policy:
                continue  # of sockets
            selector, direction = re.search(r"src (\S+) dst \S+\s+dir (\w+)", policy).groups()
            if "action block" in policy:
                yield ("policy", tunnel_of(policy), selector, direction, "refused")
                continue
            here, there = re.search(r"tmpl src (\S+) dst (\S+)", policy).groups()
            spi = re.search(r"proto esp spi 0x([0-9a-f]+)", policy)
            outbound += direction == "out" and selector == "::/0"
            yield ("policy", tunnel_of(policy), selector, direction, here, there, spi[1] if spi else "")
        yield ("tunnels that are up", outbound)


def main():
    told = Told(sys.argv[1])
    kernel = Kernel(told)
    has, says = (collections.Counter(each.things()) for each in (kernel, told))
    for thing in (says - has).elements():
        print("only told:", *thing)
    for thing in (has - says).elements():
        print("only in the kernel:", *thing)
    sys.exit(has != says)


main()
