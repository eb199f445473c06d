#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients of a service that has a shadow. Standard library only.

What they send follows from --seed, and every byte that production (shadow_server.py) has to answer follows from that: an
answer that differs in one is a failure. They write down the digest of each body they sent, for shadow_judge.py, and
print one JSON object.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import math
import random
import socket
import struct
import time

from shadow_server import ABORT, answer

POOL = random.Random("pool").randbytes(1 << 20)
EDGES = (0, 1, 1447, 1448, 1449, 1460, 2896, 14480, 60000)  # lengths that end where segments do, or near


class Wrong(Exception):
    """An answer, but not the one."""


def body_of(rng, count):
    offset = rng.randrange(len(POOL) - 1)
    return (POOL[offset:] + POOL * (count // len(POOL) + 1))[:count]


class Request:
    """The number-th request of a connection."""

    def __init__(self, options, rng, connection, number):
        count = rng.choice(EDGES) if rng.random() < 0.2 else rng.randint(0, options.body)
        self.body = body_of(rng, min(count, options.body))
        self.id = f"{connection}.{number}"
        self.digest = hashlib.sha256(self.body).hexdigest()
        self.path = f"/events/{options.events}" if options.events else f"/{rng.randint(0, options.answer)}"
        pieces, _ = answer(options.mark, self.id, self.digest, self.path)
        self.expected = b"".join(pieces)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.bytes = (f"POST {self.path} HTTP/1.1\r\nHost: {host}\r\nX-Run: {options.run}\r\nX-Id: {self.id}\r\n"
                      f"Content-Length: {len(self.body)}\r\n\r\n").encode() + self.body

    def said(self):
        return [self.id, len(self.body), self.digest]


class Client:
    """One connection."""

    def __init__(self, options, number):
        self.options = options
        self.number = number
        self.rng = random.Random(f"{options.seed} {number}")
        self.requests = [Request(options, self.rng, number, k) for k in range(1, options.requests + 1)]
        self.sent = []
        self.answers = hashlib.sha256()
        self.failure = None
        self.waits = []  # seconds to the last byte of each answer

    async def run(self):
        try:
            await asyncio.wait_for(self.connect(), self.options.timeout)
            for first in range(0, len(self.requests), self.options.pipeline):
                batch = self.requests[first:first + self.options.pipeline]
                await asyncio.wait_for(self.converse(batch), self.options.timeout)
                await asyncio.sleep(self.options.pause_ms / 1000)
            await asyncio.wait_for(self.part(), self.options.timeout)
        except (OSError, EOFError, asyncio.TimeoutError, Wrong) as error:
            self.failure = f"{type(error).__name__} {error}".strip()
        self.requests = []

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.options.host, self.options.port, local_addr=(self.options.source, 0) if self.options.source else None)

    async def converse(self, batch):
        asked = time.monotonic()
        for request in batch:
            if self.options.end == "abort-early" and request is self.requests[-1]:
                self.writer.write(request.bytes[:-len(request.body) // 2])
                return
            self.writer.write(request.bytes)
            self.sent.append(request.said())
        for request in batch:
            await self.receive(request)
            self.waits.append(time.monotonic() - asked)

    async def receive(self, request):
        if self.options.any_answer:
            head = await self.reader.readuntil(b"\r\n\r\n")
            count = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            data = head + await self.reader.readexactly(count)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Wrong(f"{request.id}: {head[:40]}")
        else:
            data = await self.reader.readexactly(len(request.expected))
            if data != request.expected:
                raise Wrong(f"{request.id}: not the answer that production gives")
        self.answers.update(data)

    async def part(self):
        if self.options.end.startswith("abort"):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            self.writer.transport.abort()
            return
        self.writer.write_eof()
        if await self.reader.read(1):
            raise Wrong("data after the last answer")
        self.writer.close()


def quantile(values, share):
    values = sorted(values)
    return round(values[min(int(len(values) * share), len(values) - 1)] * 1000, 3) if values else None


async def requests(options):
    """--connections, --concurrency at a time, of --requests each, with bodies of up to --body bytes."""
    begin = time.monotonic()
    numbers = iter(range(1, options.connections + 1))
    done = []

    async def worker():
        for number in numbers:
            client = Client(options, number)
            await client.run()
            done.append(client)

    await asyncio.gather(*(worker() for _ in range(options.concurrency)))
    done.sort(key=lambda client: client.number)
    record(options, [{"connection": client.number, "requests": client.sent} for client in done])
    failures = collections.Counter(client.failure for client in done if client.failure)
    waits = [wait for client in done for wait in client.waits]
    answers = hashlib.sha256(b"".join(client.answers.digest() for client in done)).hexdigest()
    emit(connections=len(done), requests=len(waits), failed=sum(failures.values()), failures=failures, answers=answers,
         sent_bytes=sum(count for client in done for _, count, _ in client.sent), p50_ms=quantile(waits, 0.5),
         p99_ms=quantile(waits, 0.99), max_ms=quantile(waits, 1), seconds=round(time.monotonic() - begin, 3))


def upload(options):
    """--connections one after the other, of one request each, with a body of --bytes, at --rate at most."""
    failed, said = 0, []
    begin = time.monotonic()
    for number in range(1, options.connections + 1):
        name = f"{number}.1"
        digest = hashlib.sha256()
        with socket.create_connection((options.host, options.port), options.timeout) as connection:
            connection.sendall(f"POST /100 HTTP/1.1\r\nHost: upload\r\nX-Run: {options.run}\r\nX-Id: {name}\r\n"
                               f"Content-Length: {options.bytes}\r\n\r\n".encode())
            left, rng = options.bytes, random.Random(f"{options.seed} {number}")
            first = time.monotonic()
            while left:
                time.sleep(max(0, first + (options.bytes - left) / options.rate - time.monotonic()))
                data = body_of(rng, min(left, 1 << 18))
                digest.update(data)
                connection.sendall(data)
                left -= len(data)
            said.append({"connection": number, "requests": [[name, options.bytes, digest.hexdigest()]]})
            pieces, _ = answer(options.mark, name, digest.hexdigest(), "/100")
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answers:
                failed += answers.read() != pieces[0]
    record(options, said)
    emit(connections=options.connections, failed=failed, seconds=round(time.monotonic() - begin, 3))


def udp(options):
    """--connections sockets of --requests datagrams each, one after the other's answer."""
    failed, waits, said = collections.Counter(), [], []
    sockets = []  # open to the end, so that each has a port of its own
    for number in range(1, options.connections + 1):
        rng = random.Random(f"{options.seed} {number}")
        sent = []
        client = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET, socket.SOCK_DGRAM)
        sockets.append(client)
        client.connect((options.host, options.port))
        client.settimeout(options.timeout)
        for k in range(1, options.requests + 1):
            name = f"{number}.{k}"
            data = f"{options.run} {name}\n".encode() + body_of(rng, rng.randint(0, min(options.body, 1300)))
            digest = hashlib.sha256(data).hexdigest()
            sent.append([name, len(data), digest])
            asked = time.monotonic()
            try:
                client.send(data)
                if client.recv(65536) != f"{options.mark} {name} {digest}".encode():
                    failed["wrong"] += 1
            except OSError as error:
                failed[type(error).__name__] += 1
            waits.append(time.monotonic() - asked)
        said.append({"connection": number, "requests": sent})
    record(options, said)
    emit(connections=options.connections, requests=len(waits), failed=sum(failed.values()), failures=failed,
         p50_ms=quantile(waits, 0.5), p99_ms=quantile(waits, 0.99))


def record(options, connections):
    with open(options.record, "a") as file:
        for connection in connections:
            file.write(json.dumps({"run": options.run, **connection}) + "\n")


def emit(**values):
    print(json.dumps(values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (requests, upload, udp):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        sub.add_argument("--host", required=True)
        sub.add_argument("--port", type=int, default=8000)
        sub.add_argument("--source", help="own address")
        sub.add_argument("--run", required=True, help="a word that names what is sent now in the servers' logs")
        sub.add_argument("--record", required=True, help="where to write down what was sent")
        sub.add_argument("--mark", default="PRODUCTION", help="of the server that has to answer")
        sub.add_argument("--seed", default="1")
        sub.add_argument("--connections", type=int, default=1)
        sub.add_argument("--timeout", type=float, default=20, help="seconds for one step")
        sub.add_argument("--requests", type=int, default=5)
        sub.add_argument("--body", type=int, default=60000, help="bytes at most")
        if function is upload:
            sub.add_argument("--bytes", type=int, required=True)
            sub.add_argument("--rate", type=float, default=math.inf, help="bytes a second")
        if function is not requests:
            continue
        sub.add_argument("--concurrency", type=int, default=32)
        sub.add_argument("--answer", type=int, default=8000, help="bytes of an answer at most")
        sub.add_argument("--events", help="COUNT/MS: answers are streams of events")
        sub.add_argument("--pipeline", type=int, default=1, help="requests sent before the first answer is awaited")
        sub.add_argument("--pause-ms", type=float, default=0, help="between answer and request")
        sub.add_argument("--end", choices=["close", "abort", "abort-early"], default="close")
        sub.add_argument("--any-answer", action="store_true", help="whatever has status 200 will do")
    options = parser.parse_args()
    if asyncio.iscoroutinefunction(options.function):
        asyncio.run(options.function(options))
    else:
        options.function(options)


if __name__ == "__main__":
    main()
