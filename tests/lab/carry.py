#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients that look at what carries their bytes: whole transfers, echoes, datagrams in fragments, ICMP errors.

Each prints JSON on stdout: one object, or one a line for each event. Standard library only.
"""
import argparse
import errno
import hashlib
import http.client
import json
import os
import signal
import socket
import struct


def emit(**values):
    print(json.dumps(values), flush=True)


def socket_to(options, kind, protocol=0):
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    client = socket.socket(family, kind, protocol)
    client.settimeout(options.timeout)
    return client


def download(options):
    """A GET of / that says who answers, and one of --path on the same connection, which stops after --pause bytes until
    SIGUSR1. What is received at once is little, so that the server has to stop too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    connection = http.client.HTTPConnection(options.address, options.port)
    connection.sock = socket_to(options, socket.SOCK_STREAM)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
    connection.sock.connect((options.address, options.port))
    connection.request("GET", "/")
    variant, host = connection.getresponse().read().decode().split()
    connection.request("GET", options.path)
    response = connection.getresponse()
    digest = hashlib.sha256()
    received = 0
    while chunk := response.read(65536):
        digest.update(chunk)
        paused = received < options.pause <= received + len(chunk)
        received += len(chunk)
        if paused:
            emit(event="open", variant=variant, host=host, local=connection.sock.getsockname()[0])
            signal.sigwait([signal.SIGUSR1])
    emit(event="end", status=response.status, received=received, sha256=digest.hexdigest())


def ping(options):
    """--count echo requests, each answered before the next; the kernel tells which answers are this socket's."""
    ipv6 = ":" in options.address
    answered = wrong = 0
    with socket_to(options, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if ipv6 else socket.IPPROTO_ICMP) as client:
        client.connect((options.address, 0))
        for sequence in range(options.count):
            body = os.urandom(options.bytes)
            client.send(struct.pack("!BBHHH", 128 if ipv6 else 8, 0, 0, 0, sequence) + body)
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
            kind, _, _, _, number = struct.unpack("!BBHHH", answer[:8])
            if (kind, number, answer[8:]) == (129 if ipv6 else 0, sequence, body):
                answered += 1
            else:
                wrong += 1
    emit(answered=answered, wrong=wrong)


def datagrams(options):
    """--count sockets, one after another; each sends --bytes to an echo server until they come back, or --tries times.
    That they are too big is said to it over IPv4 only; over IPv6 the kernel keeps it to itself."""
    sent = answered = wrong = 0
    hosts = set()
    for _ in range(options.count):
        with socket_to(options, socket.SOCK_DGRAM) as client:
            client.connect((options.address, options.port))
            body = os.urandom(options.bytes)
            for _ in range(options.tries):
                try:
                    sent += 1
                    client.send(body)
                    answer = client.recv(65536)
                except TimeoutError:
                    continue
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:
                        raise
                    continue
                name, data = answer[:-len(body) - 1], answer[-len(body):]
                answered += data == body
                wrong += data != body
                hosts.add(name.decode().split()[1])
                break
    emit(sent=sent, answered=answered, wrong=wrong, hosts=sorted(hosts))


def refused(options):
    """--count sockets; each sends a datagram to where nobody listens, and is told so."""
    told = 0
    for _ in range(options.count):
        with socket_to(options, socket.SOCK_DGRAM) as client:
            client.connect((options.address, options.port))
            client.send(bytes(options.bytes))
            try:
                client.recv(1)
            except ConnectionRefusedError:
                told += 1
            except TimeoutError:
                pass
    emit(told=told)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (download, ping, datagrams, refused):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        sub.add_argument("address")
        sub.add_argument("--port", type=int, default=0)
        sub.add_argument("--timeout", type=float, default=10, help="seconds for one answer")
        sub.add_argument("--count", type=int, default=1)
        sub.add_argument("--bytes", type=int, default=56)
        sub.add_argument("--tries", type=int, default=1)
        sub.add_argument("--path")
        sub.add_argument("--pause", type=int, default=0)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
