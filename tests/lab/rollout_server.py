#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""One version of a service, whose faults can be had at run time. HTTP/1.1 keep-alive; standard library only.

Every answer says who gave it ("X-Variant: VARIANT"). /health is answered by itself; /tokens is answered by a token every
100 ms, for as long as the client is there; anything else is a request, that may be answered late, by an error or by a reset,
as told over the --control socket, also HTTP:

    GET /set?port=8000&errors=0.2&delay_ms=30&resets=0.1&refuse=1&health=503    for one port; without port for all
    GET /set?gauge.NAME=0.5                                 a gauge on port --metrics; an empty value takes it away
    GET /state                                              {"time", "ports": {"8000": {.., "alive", "opened", "requests"}}}

Both answer with CLOCK_MONOTONIC's time, from which on a new setting was obeyed. The log is JSON, one object a line: each
connection's {"event": "open" | "end", "port", "peer", "time"}, and {"event": "set"}.
"""
import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import time
import urllib.parse

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST
FLUSH_S = 0.05
TOKEN_S = 0.1


class Log:
    def __init__(self, path):
        self.file = open(path, "a")

    def write(self, **values):
        self.file.write(json.dumps(values) + "\n")

    async def flush_always(self):
        while True:
            await asyncio.sleep(FLUSH_S)
            self.file.flush()


class Port:
    """A port that is served, its faults, and what it has seen."""

    faults = {"errors": 0.0, "resets": 0.0, "delay_ms": 0.0, "spread_ms": 0.0, "refuse": 0.0, "health": 200.0}

    def __init__(self, service, number, options):
        self.service = service
        self.number = number
        self.set = dict(self.faults, delay_ms=options.delay_ms, spread_ms=options.spread_ms)
        self.random = random.Random(f"{options.seed} {number}")
        self.alive = set()
        self.opened = self.requests = 0
        self.server = None

    async def listen(self):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", self.number))
        self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=sock, backlog=4096)

    async def change(self, settings):
        self.set.update(settings)
        if self.set["refuse"] and self.server:
            self.server.close()
            self.server = None
        elif not self.set["refuse"] and not self.server:
            await self.listen()

    def state(self):
        return dict(self.set, alive=len(self.alive), opened=self.opened, requests=self.requests)


class Connection(asyncio.Protocol):
    def __init__(self, port):
        self.port = port
        self.unread = b""
        self.aborted = False

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer = "%s:%d" % transport.get_extra_info("peername")[:2]
        self.port.alive.add(self)
        self.port.opened += 1
        self.log("open")

    def connection_lost(self, error):
        self.port.alive.discard(self)
        self.log("end", how="aborted" if self.aborted else "reset" if error else "closed")

    def log(self, event, **values):
        self.port.service.log.write(event=event, port=self.port.number, peer=self.peer, time=time.monotonic(), **values)

    def data_received(self, data):
        self.unread += data
        while b"\r\n\r\n" in self.unread:
            head, self.unread = self.unread.split(b"\r\n\r\n", 1)
            self.request(head.split(b" ", 2)[1].decode())

    def request(self, path):
        faults, chance = self.port.set, self.port.random
        if path == "/health":
            self.answer(int(faults["health"]))
            return
        if path == "/tokens":
            self.transport.write(f"HTTP/1.1 200 Status\r\nX-Variant: {self.port.service.name}\r\n\r\n".encode())
            self.token()
            return
        self.port.requests += 1
        if chance.random() < faults["resets"]:
            self.aborted = True
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            self.transport.abort()
            return
        status = 503 if chance.random() < faults["errors"] else 200
        delay_ms = faults["delay_ms"] + chance.random() * faults["spread_ms"]
        asyncio.get_running_loop().call_later(delay_ms / 1000, self.answer, status)

    def token(self):
        if not self.transport.is_closing():
            self.transport.write(b"token\n")
            asyncio.get_running_loop().call_later(TOKEN_S, self.token)

    def answer(self, status):
        if not self.transport.is_closing():
            body = self.port.service.name + "\n"
            self.transport.write(f"HTTP/1.1 {status} Status\r\nX-Variant: {self.port.service.name}\r\n"
                                 f"Content-Length: {len(body)}\r\n\r\n{body}".encode())


class Service:
    def __init__(self, options):
        self.name = options.name
        self.log = Log(options.log)
        self.ports = {number: Port(self, number, options) for number in options.port}
        self.gauges = {}

    async def set(self, words):
        chosen = [int(words.pop("port"))] if "port" in words else list(self.ports)
        for name in [name for name in words if name.startswith("gauge.")]:
            value = words.pop(name)
            self.gauges.pop(name[6:], None)
            if value:
                self.gauges[name[6:]] = float(value)
        if set(words) - set(Port.faults):
            raise ValueError(f"no such fault: {words}")
        for number in chosen:
            await self.ports[number].change({name: float(value) for name, value in words.items()})
        self.log.write(event="set", ports=chosen, time=time.monotonic(), **words)

    async def control(self, path):
        """The body of the answer to a request on the control socket."""
        url = urllib.parse.urlsplit(path)
        if url.path == "/set":
            await self.set(dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
        return json.dumps({"time": time.monotonic(), "ports": {n: port.state() for n, port in self.ports.items()}})

    async def metrics(self, _):
        return "".join(f'{name}{{variant="{self.name}"}} {value}\n' for name, value in self.gauges.items())


def one_answer(function):
    """A server's callback, for a connection that asks once."""
    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status, body = 200, (await function(head.split()[1].decode())).encode()
        except (ValueError, KeyError) as error:
            status, body = 400, str(error).encode()
        writer.write(f"HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
    return serve


async def serve(options):
    service = Service(options)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    for port in service.ports.values():
        await port.listen()
    if options.metrics:
        await asyncio.start_server(one_answer(service.metrics), "0.0.0.0", options.metrics)
    await asyncio.start_unix_server(one_answer(service.control), options.control)  # the last: who sees it sees them all
    flushing = asyncio.create_task(service.log.flush_always())
    await stop.wait()
    flushing.cancel()
    service.log.file.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, nargs="+", required=True)
    parser.add_argument("--name", required=True, help="the variant")
    parser.add_argument("--log", required=True)
    parser.add_argument("--control", required=True, help="Unix socket")
    parser.add_argument("--metrics", type=int, help="port, for a Prometheus")
    parser.add_argument("--delay-ms", type=float, default=5, help="before each answer")
    parser.add_argument("--spread-ms", type=float, default=5, help="and at most so much more, by chance")
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
