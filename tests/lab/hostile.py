#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A shadow that wants to be heard: packets made by hand, sent to the splitter as this host's gateway. Standard library only.

Every packet carries the word SHADOW-HOSTILE, so that a capture tells whom it reached. Prints one JSON object: how many
packets of each kind were sent.
"""
import argparse
import collections
import json
import random
import socket
import struct
import time

MARK = b"SHADOW-HOSTILE "
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FRAGMENT6 = 44


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(source, destination, protocol, payload, offset=0, more=False):
    """An IP packet; with @offset or @more, a fragment of one."""
    if len(source) == 16:
        if offset or more:
            payload = struct.pack("!BBHI", protocol, 0, offset | more, 77) + payload
            protocol = FRAGMENT6
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 77, more << 13 | offset >> 3, 64, protocol, 0, source,
                         destination)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def summed(source, destination, protocol, segment, at):
    """The segment with its checksum, which is at an offset, over the pseudo header."""
    pseudo = source + destination + struct.pack("!II", len(segment), protocol)
    value = checksum(pseudo + segment)
    return segment[:at] + struct.pack("!H", value) + segment[at + 2:]


def tcp(source, destination, ports, flags, payload=b"", sequence=1000, acknowledged=1000):
    segment = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 65535, 0, 0) + payload
    return ip(source, destination, TCP, summed(source, destination, TCP, segment, 16))


def udp(source, destination, ports, payload=MARK):
    segment = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    return ip(source, destination, UDP, summed(source, destination, UDP, segment, 6))


def icmp(source, destination, kind, code, payload=MARK, rest=0):
    message = struct.pack("!BBHI", kind, code, 0, rest) + payload
    if len(source) == 16:
        return ip(source, destination, ICMP6, summed(source, destination, ICMP6, message, 2))
    return ip(source, destination, ICMP, message[:2] + struct.pack("!H", checksum(message)) + message[4:])


class Hostile:
    """Packets of one family; names are of what they try."""

    def __init__(self, options, number):
        self.options = options
        self.own, self.client, self.vip, self.splitter, self.production = (
            address(getattr(options, name)[number]) for name in ("own", "client", "vip", "splitter", "production"))
        self.ipv6 = len(self.own) == 16
        self.random = random.Random(1)

    def port(self):
        return self.random.randint(1024, 65535)

    def anything(self, source, destination, ports):
        """One packet of each kind from a source to a destination."""
        for flags in (SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, 0, 63):
            yield tcp(source, destination, ports, flags, MARK)
        yield udp(source, destination, ports)
        echo, reply, unreachable, too_big = ((128, 129, (1, 4), (2, 0)) if self.ipv6 else (8, 0, (3, 3), (3, 4)))
        yield icmp(source, destination, echo, 0)
        yield icmp(source, destination, reply, 0)
        for kind, code in (unreachable, too_big):
            quoted = tcp(destination, source, ports[::-1], PSH | ACK, MARK)
            yield icmp(source, destination, kind, code, quoted, 600)
            quoted = tcp(destination, self.vip, ports[::-1], PSH | ACK, MARK)
            yield icmp(source, destination, kind, code, quoted, 600)
        whole = struct.pack("!HHHH", *ports, 24 + len(MARK), 0) + MARK + bytes(16)
        yield ip(source, destination, UDP, whole[:16], more=True)
        yield ip(source, destination, UDP, MARK, offset=16)
        yield ip(source, destination, 4 if not self.ipv6 else 41, tcp(self.vip, self.client, ports, RST, MARK))
        yield ip(source, destination, 47, MARK)
        yield ip(source, destination, 132, MARK)

    def each(self, source, destination):
        for port in self.options.port + [self.port()]:
            for other in self.options.client_port + [self.port()]:
                yield from self.anything(source, destination, (port, other))
                yield from self.anything(source, destination, (other, port))

    def attempts(self):
        return {
            "to_client": self.each(self.own, self.client),
            "as_vip": self.each(self.vip, self.client),
            "as_client": self.each(self.client, self.vip),
            "as_production": self.each(self.production, self.splitter),
            "as_splitter": self.each(self.splitter, self.client),
            "to_vip": self.each(self.own, self.vip),
            "to_splitter": self.each(self.own, self.splitter),
            "to_production": self.each(self.own, self.production),
            "tagged": (struct.pack("!HHH", 0x8100, 7, 0x86DD if self.ipv6 else 0x0800) + packet
                       for packet in self.each(self.vip, self.client)),
        }


def frames(options, name, packets):
    """From this host's MAC, and what has its address also from any other."""
    for number, packet in enumerate(packets):
        kind = b""
        if name != "tagged":
            kind = struct.pack("!H", 0x86DD if packet[0] >> 4 == 6 else 0x0800)
        source = options.from_mac
        if name in ("to_client", "to_vip", "to_splitter") and number % 2:
            source = mac("02:00:00:00:00:99")
        yield options.to_mac + source + kind + packet


def send(options, device):
    sent = collections.Counter()
    for number in range(len(options.own)):
        for name, packets in Hostile(options, number).attempts().items():
            for frame in frames(options, name, packets):
                device.send(frame)
                sent[name] += 1
                if sum(sent.values()) % 32 == 0:
                    time.sleep(options.pause_ms / 1000)
    return sent


def flood(options, device):
    """As fast as this host can, for --seconds: SYNs, RSTs, echo requests and datagrams to everyone."""
    hostile = [Hostile(options, number) for number in range(len(options.own))]
    ready = []
    for it in hostile:
        for _ in range(64):
            for destination in (it.client, it.vip, it.splitter):
                ports = (it.port(), options.port[0])
                ready += [options.to_mac + options.from_mac + struct.pack("!H", 0x86DD if it.ipv6 else 0x0800) + packet
                          for packet in (tcp(it.own, destination, ports, SYN), tcp(it.own, destination, ports, RST),
                                         udp(it.own, destination, ports), icmp(it.own, destination, 128 if it.ipv6 else 8, 0))]
    end, count = time.monotonic() + options.seconds, 0
    while time.monotonic() < end:
        for frame in ready:
            device.send(frame)
        count += len(ready)
    return {"flood": count}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--to-mac", type=mac, required=True)
    parser.add_argument("--from-mac", type=mac, required=True)
    for name in ("own", "client", "vip", "splitter", "production"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="addresses, of the same families each")
    parser.add_argument("--port", type=int, nargs="+", required=True, help="that something listens at")
    parser.add_argument("--client-port", type=int, nargs="*", default=[], help="of live connections")
    parser.add_argument("--pause-ms", type=float, default=1, help="after 32 packets")
    parser.add_argument("--seconds", type=float, default=0, help="instead: flood so long")
    options = parser.parse_args()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
        device.bind((options.device, 0))
        print(json.dumps((flood if options.seconds else send)(options, device)))


if __name__ == "__main__":
    main()
