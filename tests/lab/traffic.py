#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real clients for the lab, and a UDP echo server. Standard library only.

Every client prints JSON on stdout: one object, or, for those that stay, one object a line for each event. Servers answer
"VARIANT HOST", so a client knows who served it. Times are seconds of CLOCK_MONOTONIC; durations say their unit.
"""
import argparse
import asyncio
import collections
import http.client
import itertools
import json
import selectors
import signal
import socket
import struct
import subprocess
import time


class Refused(Exception):
    """The server answered, but not as asked."""


class Client:
    """One HTTP/1.1 connection."""

    numbers = itertools.count(1)

    def __init__(self, options, source_port=0):
        self.options = options
        self.number = next(self.numbers)
        self.sent = 0
        self.answers = []  # (variant, host) of each request
        self.broken = None
        self.source = ((options.source or ("::" if ":" in options.url_host else "0.0.0.0")), source_port)
        self.local = None

    async def open(self):
        pinned = self.options.source or self.source[1]
        self.reader, self.writer = await asyncio.open_connection(
            self.options.url_host, self.options.port, local_addr=self.source if pinned else None)
        self.local = self.writer.get_extra_info("sockname")[:2]

    async def request(self, last=False):
        host = f"[{self.options.url_host}]" if ":" in self.options.url_host else self.options.url_host
        self.sent += 1
        self.writer.write((f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Id: {self.number}.{self.sent}\r\n"
                           f"{'Connection: close' + chr(13) + chr(10) if last else ''}\r\n").encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        body = (await self.reader.readexactly(int(headers["content-length"]))).decode()
        if head[0].split()[1] != "200":
            raise Refused(head[0])
        if last and await self.reader.read(1):
            raise Refused("data after the answer")
        self.answers.append(tuple(body.split()))
        return self.answers[-1]

    def close(self):
        if self.local and getattr(self.options, "reset", False):
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if self.local:
            self.writer.close()

    async def attempt(self, step):
        """Runs a step within the time limit; a failure is kept, not raised. True when it went well."""
        try:
            await asyncio.wait_for(step, self.options.timeout)
            return True
        except (OSError, EOFError, asyncio.TimeoutError, Refused, ValueError, KeyError) as error:
            self.broken = self.broken or describe(error)
            return False

    def detail(self):
        variant, host = self.answers[0] if self.answers else (None, None)
        return {"source": self.local and self.local[0], "port": self.local and self.local[1], "variant": variant,
                "host": host, "broken": self.broken}


def describe(error):
    return type(error).__name__ + (f": {error}" if str(error) else "")


def emit(event, **values):
    print(json.dumps({"event": event, **values} if event else values), flush=True)


def count_variants(answers):
    return dict(collections.Counter(variant for variant, _ in answers))


def percentile(sorted_values, share):
    return round(sorted_values[min(int(len(sorted_values) * share), len(sorted_values) - 1)], 3) if sorted_values else None


async def one_request(options, source_port=0):
    """A connection with one request. Returns the client, and when it started and ended."""
    client = Client(options, source_port)
    start = time.monotonic()
    if await client.attempt(client.open()):
        await client.attempt(client.request(last=not options.client_closes))
        client.close()
    return client, start, time.monotonic()


async def requests(options):
    """--count requests, each on a new connection, --concurrency at a time."""
    ports = itertools.count(options.first_port) if options.first_port else itertools.repeat(0)
    left = iter(range(options.count))
    done = []

    async def worker():
        for _ in left:
            done.append(await one_request(options, next(ports)))

    begin = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(options.concurrency)))
    took = sorted((end - start) * 1000 for client, start, end in done if not client.broken)
    clients = [client for client, _, _ in done]
    emit(None, requests=len(done), failed=sum(bool(c.broken) for c in clients),
         variants=count_variants(c.answers[0] for c in clients if not c.broken),
         hosts=dict(collections.Counter(c.answers[0][1] for c in clients if not c.broken)),
         errors=dict(collections.Counter(c.broken for c in clients if c.broken)),
         p50_ms=percentile(took, 0.5), p99_ms=percentile(took, 0.99), max_ms=percentile(took, 1),
         seconds=round(time.monotonic() - begin, 3),
         details=[c.detail() for c in clients] if options.details else None)


async def continuous(options):
    """--rate new connections a second until SIGTERM (or --seconds); --record takes one line each, for `query`."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    begin = time.monotonic()
    tasks = []
    emit("open")
    for n in itertools.count():
        wait = begin + n / options.rate - time.monotonic()
        if stop.is_set() or (options.seconds and n / options.rate >= options.seconds):
            break
        if wait > 0:
            try:
                await asyncio.wait_for(stop.wait(), wait)
                break
            except asyncio.TimeoutError:
                pass
        tasks.append(asyncio.create_task(one_request(options)))
    records = [{"start": start, "end": end, "variant": client.detail()["variant"], "error": client.broken}
               for client, start, end in await asyncio.gather(*tasks)]
    if options.record:
        with open(options.record, "w") as file:
            json.dump(records, file)
    emit("end", **summarize(records))


def summarize(records):
    return {"requests": len(records), "failed": sum(bool(r["error"]) for r in records),
            "variants": dict(collections.Counter(r["variant"] for r in records if not r["error"])),
            "errors": dict(collections.Counter(r["error"] for r in records if r["error"]))}


def query(options):
    """What became of the connections of a `continuous` record that started after (or before) a time."""
    with open(options.record) as file:
        records = json.load(file)
    emit(None, **summarize([r for r in records if options.after <= r["start"] < options.before]))


async def keepalive(options):
    """--connections that stay open: a request on each every --interval, or (--idle) on SIGUSR1 only. SIGTERM ends it."""
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, again.set)
    clients = [Client(options) for _ in range(options.connections)]

    async def begin(client):
        if await client.attempt(client.open()):
            await client.attempt(client.request())

    async def round_of_requests():
        await asyncio.gather(*(c.attempt(c.request()) for c in clients if not c.broken))

    def state():
        live = [c for c in clients if not c.broken]
        return {"connections": len(clients), "requests": sum(len(c.answers) for c in clients),
                "broken": len(clients) - len(live), "moved": sum(len(set(c.answers)) > 1 for c in clients),
                "variants": count_variants(c.answers[0] for c in live),
                "errors": dict(collections.Counter(c.broken for c in clients if c.broken)),
                "details": [c.detail() for c in clients] if options.details else None}

    # In --batch steps, so that a server's backlog is not what is measured.
    for first in range(0, len(clients), options.batch):
        await asyncio.gather(*(begin(c) for c in clients[first:first + options.batch]))
    emit("open", **state())
    while not stop.is_set():
        waits = [loop.create_task(stop.wait())] + ([loop.create_task(again.wait())] if options.idle else [])
        await asyncio.wait(waits, timeout=None if options.idle else options.interval,
                           return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if stop.is_set():
            break
        again.clear()
        await round_of_requests()
        if options.idle:
            emit("round", **state())
    if not options.idle:
        await round_of_requests()
    emit("end", **state())
    for client in clients:
        client.close()


async def concurrent(options):
    """--connections all open at once, then one request on each."""
    clients = [Client(options) for _ in range(options.connections)]
    await asyncio.gather(*(c.attempt(c.open()) for c in clients))
    opened = [c for c in clients if not c.broken]
    await asyncio.gather(*(c.attempt(c.request()) for c in opened))
    answered = [c for c in clients if not c.broken]
    for client in clients:
        client.close()
    emit(None, connections=len(clients), opened=len(opened), failed=len(clients) - len(answered),
         variants=count_variants(c.answers[0] for c in answered),
         errors=dict(collections.Counter(c.broken for c in clients if c.broken)))


def transfer(options):
    """One connection: a PUT of --upload bytes and a GET of --file; then it stays silent and open until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    connection = http.client.HTTPConnection(options.url_host, options.port)
    family = socket.AF_INET6 if ":" in options.url_host else socket.AF_INET
    connection.sock = socket.socket(family, socket.SOCK_STREAM)
    # Few segments at once, so that no queue on the way is ever full: what is sent is received.
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    connection.sock.settimeout(options.timeout)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.sock.bind((options.source or "", options.source_port))
    connection.sock.connect((options.url_host, options.port))
    statuses, received = [], 0
    for method, path, body in [("PUT", "/upload/transfer", bytes(options.upload)), ("GET", options.file, None)]:
        connection.request(method, path, body)
        response = connection.getresponse()
        statuses.append(response.status)
        received += len(response.read())
    emit("open", statuses=statuses, received=received)
    signal.sigwait([signal.SIGTERM])
    connection.close()
    emit("end")


def udp_echo_server(options):
    """Answers every datagram with --name and the datagram, from the address it was sent to."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind((options.address, options.port))
        while True:
            data, control, _, client = server.recvmsg(65536, 64)
            address = control[0][2][:16] + bytes(4)  # by whichever interface leads to the client
            server.sendmsg([options.name.encode() + b" " + data],
                           [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, address)], 0, client)


def udp_clients(options):
    """--count sockets; each sends --per datagrams, one every --interval, and checks what comes back, and from whom."""
    family = socket.AF_INET6 if ":" in options.url_host else socket.AF_INET
    selector = selectors.DefaultSelector()
    responders = collections.defaultdict(list)
    sockets = []
    lost = wrong = 0
    for number in range(options.count):
        client = socket.socket(family, socket.SOCK_DGRAM)
        if options.source:
            client.bind((options.source, 0))
        client.connect((options.url_host, options.port))
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, number)
        sockets.append(client)
    for sequence in range(options.per):
        waiting = set(range(options.count))
        deadline = time.monotonic() + options.timeout
        for number, client in enumerate(sockets):
            client.send(f"{number} {sequence}".encode())
        while waiting and time.monotonic() < deadline:
            for key, _ in selector.select(max(0, deadline - time.monotonic())):
                try:
                    name, *echo = key.fileobj.recv(65536).decode().rsplit(" ", 2)
                except OSError:  # ICMP unreachable: counted as lost
                    continue
                if echo == [str(key.data), str(sequence)] and key.data in waiting:
                    waiting.discard(key.data)
                    responders[key.data].append(name)
                else:
                    wrong += 1
        lost += len(waiting)
        if sequence == 0:
            emit("open")
        time.sleep(options.interval)
    emit("end", sockets=options.count, sent=options.count * options.per, lost=lost, wrong=wrong,
         moved=sum(len(set(names)) > 1 for names in responders.values()),
         variants=count_variants(names[0].split() for names in responders.values()))


def greet(options):
    """Sends a datagram from each source to a closed port of its destination, until the refusal (or 1 s) says: reached."""
    for source, destination in (pair.split(",") for pair in options.pairs):
        with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.connect((destination, 9))
            client.settimeout(0.25)
            for _ in range(4):
                try:
                    client.send(b"")
                    client.recv(1)
                except ConnectionRefusedError:
                    break
                except OSError:
                    continue


def timed(options):
    """Runs a command; when it started and returned, on the clock of the other subcommands' records."""
    start = time.monotonic()
    done = subprocess.run(options.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic()
    emit(None, start=start, end=end, ms=round((end - start) * 1000, 2), exit=done.returncode, output=done.stdout)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name, function, http=True):
        sub = commands.add_parser(name, help=function.__doc__)
        sub.set_defaults(function=function)
        if http:
            sub.add_argument("--url-host", required=True, help="address to connect to")
            sub.add_argument("--port", type=int, required=True)
            sub.add_argument("--source", help="own address")
            sub.add_argument("--timeout", type=float, default=5, help="seconds for one step")
            sub.add_argument("--details", action="store_true", help="list every connection")
            sub.add_argument("--client-closes", action="store_true", help="without Connection: close")
        return sub

    sub = command("requests", requests)
    sub.add_argument("--count", type=int, default=100)
    sub.add_argument("--concurrency", type=int, default=16)
    sub.add_argument("--first-port", type=int, default=0, help="source port of the first connection; then the next")
    sub = command("continuous", continuous)
    sub.add_argument("--rate", type=float, default=200)
    sub.add_argument("--seconds", type=float)
    sub.add_argument("--record", help="file for query")
    sub = command("query", query, http=False)
    sub.add_argument("--record", required=True)
    sub.add_argument("--after", type=float, default=0)
    sub.add_argument("--before", type=float, default=float("inf"))
    sub = command("keepalive", keepalive)
    sub.add_argument("--connections", type=int, default=50)
    sub.add_argument("--interval", type=float, default=0.2)
    sub.add_argument("--batch", type=int, default=100)
    sub.add_argument("--idle", action="store_true")
    sub.add_argument("--reset", action="store_true", help="end connections by a reset")
    sub = command("concurrent", concurrent)
    sub.add_argument("--connections", type=int, default=500)
    sub = command("transfer", transfer)
    sub.add_argument("--upload", type=int, default=1000000)
    sub.add_argument("--file", default="/")
    sub.add_argument("--source-port", type=int, default=0)
    sub = command("udp-echo-server", udp_echo_server, http=False)
    sub.add_argument("--address", default="::", help="own address; IPv4 as ::ffff:a.b.c.d")
    sub.add_argument("--port", type=int, required=True)
    sub.add_argument("--name", required=True)
    sub = command("udp-clients", udp_clients)
    sub.add_argument("--count", type=int, default=20)
    sub.add_argument("--per", type=int, default=10)
    sub.add_argument("--interval", type=float, default=0)
    sub = command("greet", greet, http=False)
    sub.add_argument("pairs", nargs="+", metavar="SOURCE,DESTINATION")
    sub = command("timed", timed, http=False)
    sub.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def main():
    options = parse_arguments()
    if asyncio.iscoroutinefunction(options.function):
        asyncio.run(options.function(options))
    else:
        options.function(options)


if __name__ == "__main__":
    main()
