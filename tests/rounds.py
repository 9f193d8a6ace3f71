#!/usr/bin/env python3
"""rounds.py SOCKET PID PEER KIND TIMES: so many calls, reloads or rekeyings one after the other, and what they leave in memory.

Prints `MS-EACH KIB-FIRST KIB-LAST DESCRIPTORS-FIRST DESCRIPTORS-LAST`: of the process when the first half is done, in which it
takes what it needs, and in the end. The tunnels to a peer change their keys all at once.
"""

import json
import os
import re
import socket
import sys
import time

path, pid, peer = sys.argv[1:4]


def ask(method, what, body=""):
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)
        caller.sendall(f"{method} /v1/{what} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b"".join(iter(lambda: caller.recv(1 << 16), b""))
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text)


def call(number):
    what = ("status", "tunnels", "neighbours", "routes")[number % 4]
    return ask("GET", what)[0] == 200


def reload(number):
    return ask("POST", "reload")[0] == 200


def keys_changed():
    """By tunnel to the peer, how often."""
    tunnels = ask("GET", "tunnels")[1]["tunnels"]
    return [tunnel["rekeyings"]["child"] + tunnel["rekeyings"]["ike"] for tunnel in tunnels if tunnel["peer"] == peer]


def rekey(number):
    """The keys of all tunnels, every tenth time of IKE. Returns when they are others."""
    before = keys_changed()
    status, _ = ask("POST", "rekey", json.dumps({"peer": peer, "ike": number % 10 == 9}))
    until = time.monotonic() + 20
    while status == 200 and time.monotonic() < until:
        if all(now > then for then, now in zip(before, keys_changed())):
            return True
        time.sleep(0.01)
    return False


def taken():
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]), len(os.listdir(f"/proc/{pid}/fd"))


def main():
    kind, times = sys.argv[4], int(sys.argv[5])
    action = {"calls": call, "reloads": reload, "rekeyings": rekey}[kind]
    at_once = len(keys_changed()) if kind == "rekeyings" else 1
    rounds = -(-times // at_once)
    began = time.monotonic()
    for number in range(rounds):
        if number == rounds // 2:
            first = taken()
        if not action(number):
            sys.exit(f"{kind}: number {number} failed")
    last = taken()
    each = (time.monotonic() - began) * 1000 / rounds / at_once
    print(f"{each:.2f}", first[0], last[0], first[1], last[1])


main()
