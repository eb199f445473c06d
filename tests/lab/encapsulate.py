#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A splitter's end of a tunnel, by hand: what this host routes to --tun leaves --device encapsulated. Standard library only.

Prints "ready" on stdout. Outer IPv4 sources are 10.250.0.0/16's, another for each connection, as a splitter's are that
spreads connections over the receive queues of a backend.
"""
import argparse
import fcntl
import socket
import struct
import zlib

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
GUE_PORT = 6080


def checksum(header):
    total = sum(struct.unpack("!%dH" % (len(header) // 2), header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def outer_ipv4(options, protocol, payload, entropy):
    source = struct.pack("!BBH", 10, 250, entropy & 0xFFFF)
    fields = [0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0, source, socket.inet_aton(options.to)]
    fields[7] = checksum(struct.pack("!BBHHHBBH4s4s", *fields))
    return struct.pack("!BBHHHBBH4s4s", *fields) + payload


def outer_ipv6(options, protocol, payload, _entropy):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64, socket.inet_pton(socket.AF_INET6, "fd00:250::1"),
                       socket.inet_pton(socket.AF_INET6, options.to)) + payload


def encapsulate(options, inner):
    """The frame that carries one IP packet."""
    protocol, connection = (4, inner[12:24]) if inner[0] >> 4 == 4 else (41, inner[8:44])
    entropy = zlib.crc32(connection)
    if options.kind == "gue":
        inner = struct.pack("!HHHHBBH", 49152 + entropy % 16384, GUE_PORT, 12 + len(inner), 0, 0, protocol, 0) + inner
        protocol = 17
    ipv6 = ":" in options.to
    packet = (outer_ipv6 if ipv6 else outer_ipv4)(options, protocol, inner, entropy)
    tag = struct.pack("!HH", 0x8100, 0x6000) if options.tag else b""
    return options.to_mac + options.from_mac + tag + struct.pack("!H", 0x86DD if ipv6 else 0x0800) + packet


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tun", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--kind", choices=["ipip", "gue"], required=True)
    parser.add_argument("--to", required=True, help="outer destination")
    parser.add_argument("--to-mac", type=mac, required=True)
    parser.add_argument("--from-mac", type=mac, required=True)
    parser.add_argument("--tag", action="store_true", help="with a VLAN tag that has a priority and no VLAN")
    return parser.parse_args()


def main():
    options = parse_arguments()
    with open("/dev/net/tun", "r+b", buffering=0) as tun, \
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", options.tun.encode(), IFF_TUN_NO_PI))
        device.bind((options.device, 0))
        print("ready", flush=True)
        while True:
            device.send(encapsulate(options, tun.read(65536)))


main()
