#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""UDP in fragments that are written by hand, in any order, and a UDP echo server that can answer so. Standard library only.

Prints JSON. Answers arrive by an ordinary socket, so it is this host's kernel that puts them together.
"""
import argparse
import ipaddress
import itertools
import json
import os
import random
import socket
import struct
import time

FRAGMENT_BYTES = 1400  # of payload, a multiple of 8: fits any of the lab's links


def internet_checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp_datagram(source, destination, payload):
    """UDP header and payload (RFC 768; RFC 8200 8.1). Source and destination are (address, port)."""
    addresses = b"".join(ipaddress.ip_address(end[0]).packed for end in (source, destination))
    length = 8 + len(payload)
    head = struct.pack("!HHH", source[1], destination[1], length)
    pseudo = addresses + struct.pack("!II", length, socket.IPPROTO_UDP)  # of either family it adds up to the same
    return head + struct.pack("!H", internet_checksum(pseudo + head + b"\0\0" + payload) or 0xffff) + payload


def ip_packet(source, destination, number, offset, more, data):
    """One fragment, as an IP packet: RFC 791, RFC 8200 4.5."""
    source, destination = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    if source.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number & 0xffff, offset >> 3 | more << 13, 64,
                           socket.IPPROTO_UDP, 0) + source.packed + destination.packed
        return head[:10] + struct.pack("!H", internet_checksum(head)) + head[12:] + data
    return (struct.pack("!IHBB", 6 << 28, 8 + len(data), socket.IPPROTO_FRAGMENT, 64) + source.packed +
            destination.packed + struct.pack("!BBHI", socket.IPPROTO_UDP, 0, offset | more, number) + data)


def fragments_of(source, destination, payload):
    datagram = udp_datagram(source, destination, payload)
    number = random.randrange(1, 1 << 32)
    parts = range(0, len(datagram), FRAGMENT_BYTES)
    return [ip_packet(source, destination, number, at, at + FRAGMENT_BYTES < len(datagram),
                      datagram[at:at + FRAGMENT_BYTES]) for at in parts]


class RawSender:
    """Sends IP packets as they are, by this host's routes."""

    def __init__(self, address):
        self.six = ":" in address
        if self.six:
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.socket.setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, packets, destination):
        for packet in packets:
            self.socket.sendto(packet, (destination[0], 0))


def orders(name, parts):
    """What is sent, each of them an order of one datagram's fragments."""
    if name == "every":
        return itertools.permutations(parts)
    return [{"ordered": parts, "reversed": parts[::-1], "odd-first": parts[1::2] + parts[::2]}[name]]


def connected(options):
    family = socket.AF_INET6 if ":" in options.to else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(options.timeout)
    client.bind((options.source or ("::" if family == socket.AF_INET6 else "0.0.0.0"), options.source_port))
    client.connect((options.to, options.port))
    return client, client.getsockname()[:2]


def exchange(options):
    """Datagrams of each order, one after another; `together`: datagrams whose fragments take turns."""
    client, source = connected(options)
    destination = (options.to, options.port)
    sender = RawSender(options.to)
    sent = answered = wrong = early = tries = 0
    count = len(list(orders(options.order, fragments_of(source, destination, b"x" * options.bytes))))
    for which in range(count):
        # A datagram may be lost anywhere for reasons of its own; an order that is lost in every try is not.
        for _ in range(options.tries):
            payloads = [os.urandom(options.bytes) for _ in range(options.together)]
            divided = [fragments_of(source, destination, payload) for payload in payloads]
            packets = [list(orders(options.order, parts))[which] for parts in divided]
            sender.send(itertools.chain(*zip(*packets)), destination)
            tries += 1
            early += sum(order.index(parts[0]) for parts, order in zip(divided, packets))
            waiting = set(payloads)
            while waiting:
                try:
                    answer = client.recv(65536)
                except OSError:  # none in time, or ICMP
                    break
                wrong += answer not in waiting
                waiting.discard(answer)
            if not waiting:
                break
        sent += len(payloads)
        answered += len(payloads) - len(waiting)
    print(json.dumps({"sent": sent, "answered": answered, "wrong": wrong, "early": early, "lost": tries - count}))


def kernel(options):
    """Datagrams that the kernel itself divides."""
    client, _ = connected(options)
    answered = 0
    for _ in range(options.count):
        payload = os.urandom(options.bytes)
        client.send(payload)
        try:
            answered += client.recv(65536) == payload
        except OSError:
            pass
    print(json.dumps({"sent": options.count, "answered": answered}))


def lone(options):
    """--count last fragments, each of another datagram, whose first never comes."""
    client, source = connected(options)
    destination = (options.to, options.port)
    sender = RawSender(options.to)
    for number in range(1, options.count + 1):
        sender.send([ip_packet(source, destination, number, FRAGMENT_BYTES, False, b"y" * options.bytes)], destination)
        if number % 64 == 0:
            time.sleep(0.001)  # veth's rings are short
    print(json.dumps({"sent": options.count}))


def tagged(options):
    """One datagram in VLAN 7, last fragment first, to a MAC: by a packet socket, as there is no VLAN device."""
    _, source = connected(options)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("eth0", 0))
    head = bytes.fromhex(options.mac.replace(":", "")) + out.getsockname()[4] + struct.pack(
        "!HHH", 0x8100, 7, 0x86dd if ":" in options.to else 0x0800)
    for packet in fragments_of(source, (options.to, options.port), b"z" * options.bytes)[::-1]:
        out.send(head + packet)


def serve(options):
    """Echoes every datagram; with --reversed, in fragments of its own, last one first."""
    server = socket.socket(socket.AF_INET6 if ":" in options.address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((options.address, options.port))
    sender = RawSender(options.address)
    while True:
        data, client = server.recvfrom(65536)
        if options.reversed:
            sender.send(fragments_of((options.address, options.port), client[:2], data)[::-1], client)
        else:
            server.sendto(data, client)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    subparsers = parser.add_subparsers(required=True)
    for function in (exchange, kernel, lone, tagged):
        sub = subparsers.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        sub.add_argument("--to", required=True)
        sub.add_argument("--port", type=int, required=True)
        sub.add_argument("--source")
        sub.add_argument("--source-port", type=int, default=0)
        sub.add_argument("--bytes", type=int, default=4000)
        sub.add_argument("--order", choices=("ordered", "reversed", "odd-first", "every"), default="reversed")
        sub.add_argument("--together", type=int, default=1)
        sub.add_argument("--tries", type=int, default=1)
        sub.add_argument("--count", type=int, default=1)
        sub.add_argument("--timeout", type=float, default=3)
        sub.add_argument("--mac")
    sub = subparsers.add_parser("serve", help=serve.__doc__)
    sub.set_defaults(function=serve)
    sub.add_argument("--address", required=True)
    sub.add_argument("--port", type=int, required=True)
    sub.add_argument("--reversed", action="store_true")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
