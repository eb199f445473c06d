#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers that write down what they were asked: production and its shadow alike. Standard library only.

http: HTTP/1.1 keep-alive. Paths: /BYTES[/STATUS], an answer with a body of so many bytes; /events/COUNT/MS, server-sent
events. Every piece of an answer carries --mark, so that whoever meets one knows whose it is.
udp: answers each datagram ("RUN ID" and a newline, and anything) with --mark, the ID and the datagram's digest.

The log is JSON, one object a line: {"event": "open" | "request" | "cut" | "end" | "alive" | "datagram"}. A request says
its connection, its number in it, RUN and ID (headers X-Run and X-Id), and the digest of its body; "cut" is what was there
of a request when its connection ended; "alive", on SIGUSR1, are the connections that nobody has ended.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import random
import signal
import socket
import struct
import time

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST


def filler(mark, name, count):
    line = f"{mark} {name}\n".encode()
    return (line * (count // len(line) + 1))[:count]


def answer(mark, name, digest, path, factor=1, status=0, last=False):
    """The bytes of an answer, in the pieces they are written in, and the seconds between these."""
    words = path.strip("/").split("/")
    head = f"Server: {mark}\r\nX-Id: {name}\r\nX-Digest: {digest}\r\n"
    if words[0] == "events":
        head += "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = [f"data: {mark} {name} {number}\n\n" for number in range(max(int(int(words[1]) * factor), 1))]
        pieces = [f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces]
        pieces[0] = "HTTP/1.1 200 OK\r\n" + head + pieces[0]
        pieces[-1] += "0\r\n\r\n"
        return [piece.encode() for piece in pieces], int(words[2]) / 1000
    status = status or (int(words[1]) if len(words) > 1 else 200)
    count = int(int(words[0]) * factor)
    head = (f"HTTP/1.1 {status} Status\r\n{head}{'Connection: close' + chr(13) + chr(10) if last else ''}"
            f"Content-Length: {count}\r\n\r\n")
    return [head.encode() + filler(mark, name, count)], 0


def endpoint(address):
    host, port = address[:2]
    return f"{host[7:]}:{port}" if host.startswith("::ffff:") else f"[{host}]:{port}"


class Log:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    def write(self, event, **values):
        self.file.write(json.dumps({"event": event, **values, "time": time.monotonic()}) + "\n")


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path = lines[0].split(" ")[:2]
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        self.left = int(headers.get("content-length", 0))
        self.run, self.id, self.via = (headers.get(name) for name in ("x-run", "x-id", "x-via"))
        self.expects = "expect" in headers
        self.bytes = 0
        self.body = hashlib.sha256()

    def take(self, data):
        self.body.update(data)
        self.bytes += len(data)
        self.left -= len(data)

    def said(self):
        return {"run": self.run, "id": self.id, "via": self.via, "method": self.method, "path": self.path,
                "bytes": self.bytes, "digest": self.body.hexdigest()}


class Connection(asyncio.Protocol):
    count = 0
    alive = set()

    def __init__(self, options, log):
        self.options = options
        self.log = log
        self.unread = bytearray()
        self.request = None
        self.requests = self.answered = self.sent = 0
        self.waiting = collections.deque()  # requests not yet answered
        self.answering = self.ended = False

    def connection_made(self, transport):
        Connection.count += 1
        self.number = Connection.count
        self.transport = transport
        self.peer = endpoint(transport.get_extra_info("peername"))
        self.write = transport.write
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Connection.alive.add(self)
        self.log.write("open", connection=self.number, peer=self.peer)
        if self.options.garbage:
            self.babble()

    def babble(self):
        """Not HTTP: before anything was asked, and whenever something is."""
        noise = random.randbytes(random.randint(1, 5000))
        self.write(self.options.mark.encode() + noise + self.options.mark.encode())
        if random.random() < 0.05:
            self.abort()

    def abort(self):
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.transport.abort()

    def data_received(self, data):
        if self.options.read_pause_ms:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self.options.read_pause_ms / 1000, self.read_on)
        if self.options.garbage:
            self.babble()
            return
        self.unread += data
        while self.advance():
            pass

    def read_on(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def advance(self):
        """Takes one step into what was read; False when there is nothing for it."""
        if not self.request:
            end = self.unread.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.request = Request(bytes(self.unread[:end]))
            del self.unread[:end + 4]
            if self.request.expects:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.request.left:
            if not self.unread:
                return False
            count = min(self.request.left, len(self.unread))
            self.request.take(self.unread[:count])
            del self.unread[:count]
        if not self.request.left:
            self.requests += 1
            self.log.write("request", connection=self.number, peer=self.peer, number=self.requests, **self.request.said())
            self.waiting.append(self.request)
            self.request = None
            self.answer_next()
        return True

    def answer_next(self):
        if self.answering or self.transport.is_closing():
            return
        if not self.waiting:
            if self.ended:
                self.transport.close()
            return
        self.answering = True
        asyncio.get_running_loop().call_later(self.options.delay_ms / 1000, self.answer, self.waiting.popleft())

    def answer(self, request):
        self.answered += 1
        last = self.answered == self.options.close_after
        pieces, pause = answer(self.options.mark, request.id, request.body.hexdigest(), request.path,
                               self.options.factor, self.options.status, last)
        self.put(pieces, 0, pause)

    def put(self, pieces, number, pause):
        if self.transport.is_closing():
            return
        self.write(pieces[number])
        self.sent += len(pieces[number])
        if number + 1 < len(pieces):
            asyncio.get_running_loop().call_later(pause, self.put, pieces, number + 1, pause)
            return
        self.answering = False
        if self.answered == self.options.close_after:
            self.transport.close()
        self.answer_next()

    def eof_received(self):
        self.ended = True
        self.answer_next()
        return True  # what was asked is still answered

    def connection_lost(self, error):
        Connection.alive.discard(self)
        if self.request or self.unread:
            self.log.write("cut", connection=self.number, peer=self.peer, **(self.request.said() if self.request else {}))
        self.log.write("end", connection=self.number, peer=self.peer, how="reset" if error else "closed",
                       requests=self.requests, answered=self.answered, sent=self.sent)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, options, log):
        self.options = options
        self.log = log

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        run, name = data.split(b"\n", 1)[0].decode("latin-1").split(" ")
        digest = hashlib.sha256(data).hexdigest()
        self.log.write("datagram", peer=endpoint(peer), run=run, id=name, bytes=len(data), digest=digest)
        asyncio.get_running_loop().call_later(self.options.delay_ms / 1000, self.transport.sendto,
                                              f"{self.options.mark} {name} {digest}".encode(), peer)


def listener(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    return sock


async def http(options):
    """Serves HTTP on every --port."""
    loop = asyncio.get_running_loop()
    log = Log(options.log)
    loop.add_signal_handler(signal.SIGUSR1, lambda: log.write("alive", peers=[c.peer for c in Connection.alive]))
    for port in options.port:
        await loop.create_server(lambda: Connection(options, log), sock=listener(socket.SOCK_STREAM, port), backlog=4096)


async def udp(options):
    """Serves datagrams on every --port."""
    log = Log(options.log)
    for port in options.port:
        sock = listener(socket.SOCK_DGRAM, port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: Datagrams(options, log), sock=sock)


async def serve(options):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await options.function(options)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (http, udp):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        sub.add_argument("--port", type=int, nargs="+", required=True)
        sub.add_argument("--mark", required=True, help="a word that is in every answer")
        sub.add_argument("--log", required=True)
        sub.add_argument("--delay-ms", type=float, default=0, help="before an answer")
        sub.add_argument("--factor", type=float, default=1, help="how many times as long as asked for its answers are")
        sub.add_argument("--status", type=int, default=0, help="of every answer, whatever is asked for")
        sub.add_argument("--close-after", type=int, default=0, help="answers of one connection")
        sub.add_argument("--read-pause-ms", type=float, default=0, help="after each read")
        sub.add_argument("--garbage", action="store_true", help="say anything but HTTP")
    options = parser.parse_args()
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
