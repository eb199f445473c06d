#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients of versions that change, and a judge of what became of them. Standard library only.

load: an open loop: new connections at a rate, whatever becomes of the older ones, each with one request.
hold: streams of tokens that do not end, and are asked for again when they are reset.
summary, clients, outcome, steps, returned: what `load` has written down, beside when the daemon says that it did what.

Times are seconds of CLOCK_MONOTONIC, which all of a machine's namespaces share; a connection begins just before connect().
"""
import argparse
import collections
import datetime
import heapq
import itertools
import json
import selectors
import signal
import socket
import struct
import sys
import time

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST
TICK_S = 0.001
FLUSH_S = 0.05


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


class Stop:
    """SIGTERM, to be looked at."""

    def __init__(self):
        self.told = False
        signal.signal(signal.SIGTERM, self.tell)

    def tell(self, *_):
        self.told = True


class Target:
    """NAME=ADDRESS:PORT@RATE"""

    def __init__(self, text):
        self.name, rest = text.split("=", 1)
        rest, rate = rest.rsplit("@", 1)
        self.address, port = rest.rsplit(":", 1)
        self.port, self.rate = int(port), float(rate)
        self.request = f"GET / HTTP/1.1\r\nHost: {self.name}\r\n\r\n".encode()

    def connect(self, source=None):
        sock = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if source[1]:  # is used again and again
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            sock.bind(source)
        sock.connect_ex((self.address, self.port))
        return sock


class Answer:
    """What has come of one, so far."""

    def __init__(self):
        self.data = b""

    def take(self, data):
        """True when it is whole."""
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        return bool(end) and len(body) >= int(self.header(head, b"Content-Length"))

    @staticmethod
    def header(head, name):
        return head.split(b"\r\n" + name + b": ", 1)[1].split(b"\r\n", 1)[0]

    def said(self):
        head = self.data.partition(b"\r\n\r\n")[0]
        return {"variant": self.header(head, b"X-Variant").decode(), "status": int(head.split(b" ", 2)[1])}


class Connection:
    """One connection with one request."""

    def __init__(self, target, source):
        self.record = {"service": target.name, "source": source, "begin": time.monotonic(), "variant": None, "status": None, "error": None}
        self.target = target
        self.answer = Answer()
        self.asked = False
        self.sock = target.connect(source)

    def advance(self):
        """Takes a step, when its socket is ready; True when it is over."""
        try:
            if not self.asked:
                error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                self.record["connected"] = time.monotonic()
                self.sock.send(self.target.request)
                self.asked = True
                return False
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            if not self.answer.take(data):
                return False
            self.record.update(self.answer.said())
        except (OSError, EOFError) as error:
            self.record["error"] = type(error).__name__
        return True


class Load:
    def __init__(self, options):
        self.options = options
        self.selector = selectors.EpollSelector()
        self.live = {}
        self.file = open(options.log, "a")
        self.counts = collections.Counter()
        sources = [("", port) for port in options.source_port] + [(address, 0) for address in options.source]
        self.sources = itertools.cycle(sources or [None])

    def begin(self, target):
        connection = Connection(target, next(self.sources))
        self.live[connection.sock] = connection
        self.selector.register(connection.sock, selectors.EVENT_WRITE)

    def end(self, connection, error=None):
        self.selector.unregister(connection.sock)
        del self.live[connection.sock]
        connection.sock.close()
        record = connection.record
        record["error"] = record["error"] or error
        record["end"] = time.monotonic()
        self.counts["failed" if record["error"] else "answered"] += 1
        self.file.write(json.dumps(record) + "\n")

    def ready(self, wait):
        for key, _ in self.selector.select(wait):
            connection = self.live[key.fileobj]
            before = connection.asked
            if connection.advance():
                self.end(connection)
            elif connection.asked and not before:
                self.selector.modify(connection.sock, selectors.EVENT_READ)

    def tidy(self):
        """What is over for lack of an answer; connections are in the order in which they began."""
        late = time.monotonic() - self.options.timeout
        for connection in list(itertools.takewhile(lambda c: c.record["begin"] < late, self.live.values())):
            self.end(connection, "timeout")
        self.file.flush()

    def run(self, stop):
        now = time.monotonic()
        due = [(now + 1 / target.rate, number) for number, target in enumerate(self.options.target)]
        until = now + self.options.seconds if self.options.seconds else float("inf")
        tidy = now
        while not stop.told and now < until:
            while due[0][0] <= now:
                when, number = due[0]
                target = self.options.target[number]
                self.begin(target)
                # Who is late by more than a moment (the machine was away) does not make good for it in one burst.
                heapq.heapreplace(due, (max(when + 1 / target.rate, now - 0.05), number))
            self.ready(max(min(due[0][0] - now, 0.02), TICK_S))
            now = time.monotonic()
            if now >= tidy + FLUSH_S:
                self.tidy()
                tidy = now
        while self.live:
            self.ready(0.02)
            self.tidy()
        self.file.close()


def load(options):
    """New connections at a rate, until SIGTERM or --seconds; a line in --log for each."""
    stop = Stop()
    emit("open")
    running = Load(options)
    running.run(stop)
    emit("end", **{"answered": 0, "failed": 0, **running.counts})


class Held:
    """A stream of tokens; {"variant", "begin", "end", "how", "tokens", "longest_wait"} of each connection that it was."""

    def __init__(self, target):
        self.target = target
        self.parts = []
        self.begin()

    def begin(self):
        self.part = {"variant": None, "begin": time.monotonic(), "end": None, "how": None, "tokens": 0, "longest_wait": 0}
        self.parts.append(self.part)
        self.unread = b""
        self.sock = socket.create_connection((self.target.address, self.target.port), timeout=5)
        self.sock.sendall(b"GET /tokens HTTP/1.1\r\n\r\n")
        self.last = time.monotonic()

    def read(self):
        """False when the connection is over."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return self.finish("reset")
        if not data:
            return self.finish("ended")
        self.unread += data
        if not self.part["variant"] and b"\r\n\r\n" in self.unread:
            head, self.unread = self.unread.split(b"\r\n\r\n", 1)
            self.part["variant"] = Answer.header(head, b"X-Variant").decode()
        now = time.monotonic()
        self.part["longest_wait"] = max(self.part["longest_wait"], now - self.last)
        self.part["tokens"] += data.count(b"token")
        self.last = now
        return True

    def finish(self, how):
        self.part["how"] = how
        self.part["end"] = time.monotonic()
        self.sock.close()
        return False


def hold(options):
    """--connections to one target, each a stream of tokens that is asked for again when it was reset, until SIGTERM."""
    stop = Stop()
    selector = selectors.EpollSelector()

    def register(one):
        selector.register(one.sock, selectors.EVENT_READ, one)

    held = [Held(options.target) for _ in range(options.connections)]
    for one in held:
        register(one)
    begun = False
    while not stop.told:
        for key, _ in selector.select(0.05):
            selector.unregister(key.fileobj)
            if not key.data.read():
                key.data.begin()
            register(key.data)
        if not begun and all(one.part["variant"] for one in held):
            emit("open", variants=collections.Counter(one.part["variant"] for one in held))
            begun = True
    for one in held:
        one.finish("closed")
    emit("end", connections=[one.parts for one in held])


# --- what became of them ----------------------------------------------------------------------------------------------

def read_log(path, service):
    with open(path) as file:
        records = [json.loads(line) for line in file]
    return sorted((record for record in records if record["service"] == service), key=lambda record: record["begin"])


def monotonic(text):
    """RFC 3339 as CLOCK_MONOTONIC's."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - time.time() + time.monotonic()


def counts(records):
    return {"requests": len(records), "failed": sum(bool(record["error"]) for record in records),
            "variants": collections.Counter(r["variant"] for r in records if not r["error"])}


def summary(options):
    """How connections went that began after, and before, a time."""
    records = read_log(options.log, options.service)
    print(json.dumps(counts([r for r in records if options.after <= r["begin"] < options.before])))


def clients(options):
    """Whom each client (an own address) met, of those that began after, and before, a time."""
    met = collections.defaultdict(set)
    for record in read_log(options.log, options.service):
        if options.after <= record["begin"] < options.before and not record["error"]:
            met[record["source"][0]].add(record["variant"])
    print(json.dumps({"clients": len(met), "of_two_minds": sum(len(variants) > 1 for variants in met.values()),
                      "variants": collections.Counter(variant for variants in met.values() for variant in variants)}))


def transition_to(rollout, *states):
    return next((monotonic(t["at"]) for t in rollout["transitions"] if t["to"] in states and t["from"] != t["to"]), None)


def ms(seconds):
    return None if seconds is None else round(seconds * 1000, 1)


def outcome(options):
    """Reads a rollout's history on stdin: where it has been, and who met the candidate since it began and after it."""
    rollout = json.load(sys.stdin)["rollouts"][0]
    records = read_log(options.log, options.service)
    began, ended = monotonic(rollout["began"]), transition_to(rollout, "Succeeded", "Failed", "Aborted")
    met = [r for r in records if r["variant"] == options.candidate and began - 0.001 <= r["begin"] <= ended + 0.001]
    errors = [r for r in met if r["status"] != 200]
    print(json.dumps({
        "path": [f"{t['to']} {t['step']}" for t in rollout["transitions"] if t["from"] != t["to"] or t["from_step"] != t["step"]],
        "to_candidate": len(met), "errors": len(errors),
        "ms": ms(met[-1]["begin"] - errors[0]["end"]) if errors else None,
        "after": counts([r for r in records if r["begin"] > ended + 0.001])}))


def steps(options):
    """Reads a rollout's history on stdin: who reached the candidate between each transition and the next."""
    rollout = json.load(sys.stdin)["rollouts"][0]
    records = read_log(options.log, options.service)
    transitions = rollout["transitions"]
    times = [monotonic(t["at"]) for t in transitions] + [float("inf")]
    result = []
    for transition, begin, end in zip(transitions, times, times[1:]):
        # What is journalled is in force a moment later.
        during = [r for r in records if begin + options.moment < r["begin"] < end - 0.001 and not r["error"]]
        share = options.share[transition["step"]] if transition["to"] == "Progressing" else 1
        result.append({"to": transition["to"], "step": transition["step"], "share": share, "answered": len(during),
                       "candidate": sum(r["variant"] == options.candidate for r in during)})
    print(json.dumps(result))


def at(options):
    """Reads a rollout's history on stdin: when it came to a state."""
    print(transition_to(json.load(sys.stdin)["rollouts"][0], options.state))


def returned(options):
    """Reads a rollout's history on stdin: when traffic was back, after a fault that began at --fault."""
    rollout = json.load(sys.stdin)["rollouts"][0]
    records = read_log(options.log, options.service)
    verdict = transition_to(rollout, "RollingBack")
    in_force = transition_to(rollout, "Failed", "Aborted")
    if verdict is None or in_force is None:
        raise SystemExit(f"not rolled back: {rollout['transitions']}")
    of_candidate = [r["begin"] for r in records if r["variant"] == options.candidate]
    # `at` says milliseconds: what began in that one may have been before.
    after = [r for r in records if r["begin"] > in_force + 0.001]
    analyses = [a for a in rollout["analyses"] if monotonic(a["at"]) > options.fault]
    print(json.dumps({
        "verdict_after_fault_ms": ms(verdict - options.fault),
        "last_after_fault_ms": ms(max(of_candidate) - options.fault) if of_candidate else None,
        "last_after_verdict_ms": ms(max(of_candidate) - verdict) if of_candidate else None,
        "in_force_after_verdict_ms": ms(in_force - verdict),
        "to_candidate_since_fault": sum(begin > options.fault for begin in of_candidate),
        "after": counts(after), "analyses_since_fault": [a["verdict"] for a in analyses]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(function):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(function=function)
        return sub

    sub = command(load)
    sub.add_argument("--target", type=Target, nargs="+", required=True, metavar="NAME=ADDRESS:PORT@RATE")
    sub.add_argument("--log", required=True)
    sub.add_argument("--seconds", type=float)
    sub.add_argument("--timeout", type=float, default=5)
    sub.add_argument("--source-port", type=int, nargs="+", default=[], help="one after the other; ended by a reset")
    sub.add_argument("--source", nargs="+", default=[], help="own addresses, one after the other")
    sub = command(hold)
    sub.add_argument("--target", type=Target, required=True, metavar="NAME=ADDRESS:PORT@0")
    sub.add_argument("--connections", type=int, default=30)
    for function in (summary, clients):
        sub = command(function)
        sub.add_argument("--log", required=True)
        sub.add_argument("--service", required=True)
        sub.add_argument("--after", type=float, default=0)
        sub.add_argument("--before", type=float, default=float("inf"))
    sub = command(returned)
    sub.add_argument("--log", required=True)
    sub.add_argument("--service", required=True)
    sub.add_argument("--candidate", default="canary")
    sub.add_argument("--fault", type=float, required=True)
    for function in (outcome, steps):
        sub = command(function)
        sub.add_argument("--log", required=True)
        sub.add_argument("--service", required=True)
        sub.add_argument("--candidate", default="canary")
    sub.add_argument("--share", type=float, nargs="+", help="of each step, that was asked for")
    sub.add_argument("--moment", type=float, default=0.1, help="seconds after a transition that are left out")
    sub = command(at)
    sub.add_argument("--state", required=True)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
