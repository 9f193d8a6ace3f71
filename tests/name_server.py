#!/usr/bin/env python3
"""A name server with moods, for the tests: name_server.py FILE [ADDRESS]

FILE holds one line a name: NAME ANSWER..., and is read for every question. An answer is addresses of either family,
`ttl SECONDS` before them where it is to hold longer than one, or `fail` (SERVFAIL), `late SECONDS ADDRESS`, `nothing` (no such name), `silence`. Names that are not there are silence.
"""
import select
import socket
import struct
import sys
import time

TYPES = {1: socket.AF_INET, 28: socket.AF_INET6}


def question_of(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode().lower())
        at += packet[at] + 1
    return ".".join(labels), struct.unpack("!H", packet[at + 1 : at + 3])[0], packet[12 : at + 5]


def mood_of(file, name):
    with open(file) as lines:
        for line in lines:
            words = line.split()
            if words and words[0] == name:
                return words[1:]
    return ["silence"]


def records(kind, words):
    family = TYPES.get(kind)
    lifetime, addresses = (int(words[1]), words[2:]) if words[:1] == ["ttl"] else (1, words)
    for address in addresses:
        if family is not None and (":" in address) == (family == socket.AF_INET6):
            data = socket.inet_pton(family, address)
            yield b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, lifetime, len(data)) + data


def answer(packet, question, kind, words):
    codes = {"fail": 2, "nothing": 3}
    code = codes.get(words[0], 0) if words else 0
    found = [] if code else list(records(kind, words))
    return packet[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0) + question + b"".join(found)


def main():
    file, address = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    late = []
    while True:
        late.sort(key=lambda each: each[0])
        pause = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([server], [], [], pause)
        while late and late[0][0] <= time.monotonic():
            server.sendto(*late.pop(0)[1:])
        if not readable:
            continue
        packet, client = server.recvfrom(4096)
        name, kind, question = question_of(packet)
        with open(file + ".asked", "a") as asked:
            print(name, file=asked)
        words = mood_of(file, name)
        if words and words[0] == "silence":
            continue
        if words and words[0] == "late":
            late.append((time.monotonic() + float(words[1]), answer(packet, question, kind, words[2:]), client))
        else:
            server.sendto(answer(packet, question, kind, words), client)


main()
