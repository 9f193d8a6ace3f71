#!/usr/bin/env python3
"""wireguard.py INTERFACE PRIVATE_KEY PORT PEER_KEY PEER_ADDRESS: a WireGuard interface with one peer at the same port, that
may say anything. Keys are hexadecimal. What `wg set` would do, by generic netlink."""
import socket
import struct
import sys

NESTED = 0x8000


def attribute(kind, value):
    return struct.pack('=HH', 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(sock, kind, command, attributes):
    body = struct.pack('=BBH', command, 1, 0) + attributes
    sock.send(struct.pack('=IHHII', 16 + len(body), kind, 5, 1, 0) + body)  # a request that is acknowledged
    answer = sock.recv(65536)
    if struct.unpack_from('=H', answer, 4)[0] == 2 and (error := struct.unpack_from('=i', answer, 16)[0]):
        sys.exit(f'wireguard: error {-error}')
    return answer


def family_of(sock, name):
    answer = message(sock, 16, 3, attribute(2, name + b'\0'))  # CTRL_CMD_GETFAMILY
    sock.recv(65536)  # the acknowledgement
    at = 20
    while at < len(answer):
        size, kind = struct.unpack_from('=HH', answer, at)
        if kind == 1:  # CTRL_ATTR_FAMILY_ID
            return struct.unpack_from('=H', answer, at + 4)[0]
        at += size + 3 & ~3
    sys.exit('no WireGuard here')


def allowed(family, size):  # all of a family: its number, the address, the length
    return attribute(NESTED, attribute(1, struct.pack('=H', family)) + attribute(2, bytes(size)) + attribute(3, b'\0'))


interface, private_key, port, peer_key, address = sys.argv[1:]
endpoint = struct.pack('=H', socket.AF_INET) + struct.pack('!H', int(port)) + socket.inet_aton(address) + bytes(8)
peer = attribute(1, bytes.fromhex(peer_key)) + attribute(4, endpoint) + \
    attribute(9 | NESTED, allowed(socket.AF_INET, 4) + allowed(socket.AF_INET6, 16))
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as netlink:  # NETLINK_GENERIC
    wireguard = family_of(netlink, b'wireguard')
    message(netlink, wireguard, 1, attribute(2, interface.encode() + b'\0') + attribute(3, bytes.fromhex(private_key)) +
            attribute(6, struct.pack('=H', int(port))) + attribute(8 | NESTED, attribute(NESTED, peer)))  # WG_CMD_SET_DEVICE
