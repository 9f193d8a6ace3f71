#!/usr/bin/env python3
"""late.py INTERFACE INTERFACE FILE: a wire between the two that passes every frame on as many milliseconds later as FILE says
at that time. For kernels without netem."""
import heapq
import itertools
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23


def end(name):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    one.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    one.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)  # before each frame what is left to do, such as its checksum
    one.bind((name, 0))
    return one


ends = end(sys.argv[1]), end(sys.argv[2])
other = {ends[0]: ends[1], ends[1]: ends[0]}
on_the_way, order = [], itertools.count()
while True:
    wait = max(0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
    for here in select.select(ends, [], [], wait)[0]:
        with open(sys.argv[3], encoding='ascii') as file:
            due = time.monotonic() + float(file.read()) / 1000
        heapq.heappush(on_the_way, (due, next(order), other[here], here.recv(1 << 17)))
    while on_the_way and on_the_way[0][0] <= time.monotonic():
        _, _, there, frame = heapq.heappop(on_the_way)
        there.send(frame)
