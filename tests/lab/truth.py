#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Servers and clients that write down what they did and met, and a judge of what Headgate says of it.

Times are seconds of CLOCK_MONOTONIC, which all of a host's namespaces share. Each waits where it reads the clock: a server
reads it just after it has read and just before it writes, a client just before it writes and just after it has read. So
what the splitter between them measures of a connection is never less than the server's figure and never more than
the client's, and so it is with their quantiles.
"""
import argparse
import collections
import itertools
import json
import math
import queue
import select
import signal
import socket
import struct
import sys
import threading
import time

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST
TOTAL_RETRANSMISSIONS = 100  # offset of tcpi_total_retrans in struct tcp_info (linux/tcp.h)
HISTOGRAM_ERROR = 0.125
SLACK_S = 0.02  # of times whose last event is not seen by whoever writes it down


class Log:
    """JSON, one object a line, from any thread."""

    def __init__(self, path):
        self.file = open(path, "a")
        self.lock = threading.Lock()

    def write(self, **values):
        with self.lock:
            self.file.write(json.dumps(values) + "\n")
            self.file.flush()


def read_log(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def retransmissions(connection):
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANSMISSIONS + 4)
    return struct.unpack_from("I", info, TOTAL_RETRANSMISSIONS)[0]


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.close()


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


# --- the server -------------------------------------------------------------------------------------------------------

class Connection:
    """An accepted one. Paths: / and /status/N; /delay/MS[/N]; /stream/TOKENS/MS; /tokens/MS, until the client has no more
    to say; /reset, in the middle of the answer."""

    def __init__(self, server, connection):
        self.server = server
        self.connection = connection
        host, port = connection.getsockname()[:2]
        self.backend = f"{host[7:]}:{port}" if host.startswith("::ffff:") else f"[{host}]:{port}"
        self.accepted = self.answered = time.monotonic()
        self.retransmitted_before = retransmissions(connection)  # its SYN-ACK
        self.unread = b""
        self.answers = []  # {"status", "waited"} of each request

    def run(self):
        self.server.log.write(event="accepted", backend=self.backend, time=self.accepted)
        try:
            end = self.serve()
        except (ConnectionResetError, BrokenPipeError):
            end = "reset_by_client"
        # Who is told of a reset may hear of it long after it went by: what it has done before is what it knows.
        ended = self.answered if end == "reset_by_client" else time.monotonic()
        retransmitted = retransmissions(self.connection) - self.retransmitted_before
        if end == "reset_by_server":
            reset(self.connection)
        else:
            self.connection.close()
        self.server.log.write(event="ended", backend=self.backend, time=ended, end=end, seconds=ended - self.accepted,
                              answers=self.answers, retransmissions=retransmitted)

    def serve(self):
        while True:
            path = self.read_request()
            if path is None:
                return "closed"
            if not self.answer(path, time.monotonic()):
                return "reset_by_server"

    def read_request(self):
        while b"\r\n\r\n" not in self.unread:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.unread += data
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        return head.split()[1].decode()

    def answer(self, path, asked):
        verb, *numbers = path.strip("/").split("/")
        numbers = [int(number) for number in numbers]
        body = [self.server.name.encode() + b"\n"]
        status = 200
        pause = 0
        if verb == "status":
            status = numbers[0]
        elif verb == "delay":
            time.sleep(numbers[0] / 1000)
            status = numbers[1] if len(numbers) > 1 else 200
        elif verb == "stream":
            body *= numbers[0]
            pause = numbers[1] / 1000
        elif verb == "reset":
            body *= 2
        head = f"HTTP/1.1 {status} Status\r\nContent-Length: {sum(map(len, body))}\r\n\r\n".encode()
        self.answered = time.monotonic()
        self.answers.append({"status": status, "waited": self.answered - asked})
        self.connection.sendall(head + body[0])
        if verb == "reset":
            return False
        for token in body[1:]:
            time.sleep(pause)
            self.connection.sendall(token)
        while verb == "tokens" and not select.select([self.connection], [], [], numbers[0] / 1000)[0]:
            self.connection.sendall(body[0])
        return True


class Server:
    def __init__(self, options):
        self.name = options.name
        self.log = Log(options.log)

    def listen(self, port):
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
            listener.listen(4096)
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=Connection(self, connection).run, daemon=True).start()


def server(options):
    """Serves on every --port, and logs each connection's beginning and end."""
    running = Server(options)
    for port in options.port:
        threading.Thread(target=running.listen, args=(port,), daemon=True).start()
    signal.sigwait([signal.SIGTERM])


# --- clients ----------------------------------------------------------------------------------------------------------

class Client:
    """One connection, and what became of it: closed, aborted, reset, refused, timeout or broken."""

    def __init__(self, options):
        self.options = options
        self.record = {"variant": options.variant, "end": None, "established": False, "sent": 0, "statuses": [],
                       "waits": [], "retransmissions": 0}

    def run(self):
        family = socket.AF_INET6 if ":" in self.options.url_host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as self.socket:
            self.socket.settimeout(self.options.timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.options.source:
                self.socket.bind((self.options.source, 0))
            begin = time.monotonic()
            self.record["end"] = self.attempt(self.connect)
            if self.record["established"]:
                before = retransmissions(self.socket)
                self.record["connect"] = time.monotonic() - begin
                self.record["unanswered"] = before  # seconds at least: a SYN is not sent again sooner than after one
                self.record["end"] = self.attempt(self.talk)
                # Between data, all of it acknowledged by answers, and a FIN: sent again, that is not one of data.
                self.record["retransmissions"] = retransmissions(self.socket) - before
                if not self.record["end"]:
                    self.record["end"] = self.attempt(self.part)
            self.record["seconds"] = time.monotonic() - begin
        return self.record

    @staticmethod
    def attempt(step):
        try:
            return step()
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "reset"
        except socket.timeout:
            return "timeout"
        except (OSError, EOFError):
            return "broken"

    def connect(self):
        self.socket.connect((self.options.url_host, self.options.port))
        self.record["established"] = True

    def talk(self):
        paths = itertools.cycle(self.options.paths.split(","))
        for number, path in zip(range(self.options.requests), paths):
            last = number == self.options.requests - 1
            self.request(path, last and self.options.end == "abort-early")

    def part(self):
        if self.options.end != "close":
            reset(self.socket)
            return "aborted"
        self.socket.shutdown(socket.SHUT_WR)
        if self.socket.recv(1):
            raise EOFError
        return "closed"

    def request(self, path, first_segment_only):
        asked = time.monotonic()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: truth\r\n\r\n".encode())
        self.record["sent"] += 1
        data = self.receive()
        self.record["waits"].append(time.monotonic() - asked)
        head, body = data.split(b"\r\n\r\n", 1)
        self.record["statuses"].append(int(head.split()[1]))
        left = int(head.rsplit(b" ", 1)[1]) - len(body)
        while left > 0 and not first_segment_only:
            left -= len(self.receive())

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        return data


def clients(options):
    """--connections, --concurrency at a time; each has --requests, of the --paths in turn, and ends as --end says."""
    log = Log(options.log)
    numbers = queue.SimpleQueue()
    ends = collections.Counter()
    for number in range(options.connections):
        numbers.put(number)

    def worker():
        while True:
            try:
                numbers.get_nowait()
            except queue.Empty:
                return
            record = Client(options).run()
            log.write(**record)
            ends[record["end"]] += 1

    threads = [threading.Thread(target=worker) for _ in range(options.concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(ends))


# --- a stream of tokens -----------------------------------------------------------------------------------------------

class Stream:
    """Asks for tokens over one connection, and again over a new one whenever it is reset, until told to stop."""

    stop = threading.Event()

    def __init__(self, options):
        self.options = options
        self.begun = threading.Event()
        self.parts = []  # {"server", "tokens", "longest_wait" between two, "end", "time"} of each connection

    def run(self):
        while not self.parts or self.parts[-1]["end"] == "reset":
            self.part()

    def part(self):
        family = socket.AF_INET6 if ":" in self.options.url_host else socket.AF_INET
        part = {"server": None, "tokens": 0, "longest_wait": 0, "end": "broken"}
        self.parts.append(part)
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.options.timeout)
            try:
                connection.connect((self.options.url_host, self.options.port))
                connection.sendall(f"GET /tokens/{self.options.pause_ms} HTTP/1.1\r\n\r\n".encode())
                self.read_tokens(connection, part)
            except ConnectionResetError:
                part["end"] = "reset"
            except OSError as error:
                part["error"] = str(error)
            part["time"] = time.monotonic()
        self.begun.set()

    def read_tokens(self, connection, part):
        stopped = False
        with connection.makefile("r") as lines:
            while lines.readline().strip():
                pass
            last = time.monotonic()
            for line in lines:
                came = time.monotonic()
                part["longest_wait"] = max(part["longest_wait"], came - last)
                last = came
                part["server"] = line.strip()
                part["tokens"] += 1
                self.begun.set()
                if self.stop.is_set() and not stopped:
                    stopped = True
                    connection.shutdown(socket.SHUT_WR)
        if stopped:
            part["end"] = "complete"


def streams(options):
    """--connections streams at once, until SIGTERM. Says when each has begun, and at the end what they met."""
    signal.signal(signal.SIGTERM, lambda *_: Stream.stop.set())
    running = [Stream(options) for _ in range(options.connections)]
    threads = [threading.Thread(target=stream.run) for stream in running]
    for thread in threads:
        thread.start()
    for stream in running:
        stream.begun.wait()
    emit("open", time=time.monotonic())
    for thread in threads:
        thread.join()
    emit("end", streams=[stream.parts for stream in running])


def now(_):
    """What the clock of all records says."""
    print(time.monotonic())


# --- the judge --------------------------------------------------------------------------------------------------------

class Judge:
    """Compares what is said of one variant with what its clients and servers wrote down."""

    def __init__(self, variant, records, servers):
        self.variant = variant
        self.said = variant["measured"]
        self.records = [record for record in records if record["variant"] == variant["name"]]
        self.servers = servers  # events by backend address
        self.events = [event for backend in variant["backends"] for event in servers.get(backend["address"], [])]
        self.ended = [event for event in self.events if event["event"] == "ended"]
        self.mistakes = []

    def same(self, what, said, *truths):
        if any(said != truth for truth in truths):
            self.mistakes.append(f"{self.variant['name']} {what}: {said}, in truth {', '.join(map(str, truths))}")

    def clients_that(self, end):
        return sum(record["end"] == end for record in self.records)

    def servers_that(self, end):
        return sum(event["end"] == end for event in self.ended)

    def judge(self):
        said, records = self.said, self.records
        self.same("connections", said["connections"], len(records))
        self.same("opened", self.variant["opened"], len(records))
        self.same("active", self.variant["active"], 0)
        self.same("established", said["established"], sum(record["established"] for record in records))
        self.same("refused", said["refused"], self.clients_that("refused"))
        # Known long after the last SYN, of one connection after the other.
        self.same("failed", said["failed"], min(said["failed"], self.clients_that("timeout")))
        self.same("closed", said["closed"], self.clients_that("closed"), self.servers_that("closed"))
        self.same("reset_by_client", said["reset_by_client"], self.clients_that("aborted"),
                  self.servers_that("reset_by_client"))
        self.same("reset_by_server", said["reset_by_server"], self.clients_that("reset"),
                  self.servers_that("reset_by_server"))
        self.same("reset_by_drain", said["reset_by_drain"], 0)
        self.same("expired", said["expired"], 0)
        self.same("broken", 0, self.clients_that("broken"))
        self.same("durations", said["duration_s"]["count"], len(records) - self.clients_that("timeout"))
        self.same("requests", said["requests"], sum(record["sent"] for record in records))
        self.same("client_retransmissions", said["client_retransmissions"],
                  sum(record["retransmissions"] for record in records))
        for backend in self.variant["backends"]:
            self.judge_backend(backend["address"], backend["measured"])
        self.judge_times()
        return self.mistakes

    def judge_backend(self, address, said):
        events = self.servers.get(address, [])
        accepted = sum(event["event"] == "accepted" for event in events)
        answers = [answer for event in events for answer in event.get("answers", [])]
        classes = {"none": 0, "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
        for answer in answers:
            classes[f"{answer['status'] // 100}xx"] += 1
        self.same(f"{address}: established", said["established"], accepted)
        self.same(f"{address}: handshakes", said["handshake_s"]["count"], accepted)
        self.same(f"{address}: requests", said["requests"], len(answers))
        self.same(f"{address}: responses", said["responses"], len(answers))
        self.same(f"{address}: first bytes", said["first_byte_s"]["count"], len(answers))
        self.same(f"{address}: status", said["status"], classes)
        self.same(f"{address}: server_retransmissions", said["server_retransmissions"],
                  sum(event.get("retransmissions", 0) for event in events))

    def judge_times(self):
        established = [record for record in self.records if record["established"]]
        over = [record for record in self.records if record["end"] != "timeout"]
        self.between("handshake_s", [record["unanswered"] for record in established],
                     [record["connect"] for record in established])
        self.between("first_byte_s", [answer["waited"] for event in self.ended for answer in event["answers"]],
                     [wait for record in established for wait in record["waits"]])
        self.between("duration_s", [0] * self.clients_that("refused") + [event["seconds"] for event in self.ended],
                     [record["seconds"] + SLACK_S for record in over])

    def between(self, name, at_least, at_most):
        at_least, at_most = sorted(at_least), sorted(at_most)
        for quantile in ("p50", "p95", "p99"):
            value = self.said[name][quantile]
            if not at_least:
                self.same(f"{name} {quantile}", value, None)
                continue
            rank = int(quantile[1:]) * len(at_least) / 100
            low = at_least[max(math.floor(rank) - 1, 0)] * (1 - HISTOGRAM_ERROR)
            high = at_most[min(math.ceil(rank), len(at_most) - 1)] * (1 + HISTOGRAM_ERROR)
            if value is None or not low <= value <= high:
                self.mistakes.append(f"{self.variant['name']} {name} {quantile}: {value}, in truth {low:.6f} to {high:.6f}")


def judge(options):
    """Reads a service's JSON on stdin; fails with a line for each figure that is not the truth."""
    servers = {}
    for pair in options.servers:
        address, path = pair.split("=", 1)
        servers[address] = [event for event in read_log(path) if event["backend"] == address]
    records = read_log(options.clients)
    mistakes = [mistake for variant in json.load(sys.stdin)["variants"]
                for mistake in Judge(variant, records, servers).judge()]
    print("\n".join(mistakes))
    sys.exit(bool(mistakes))


# --- arguments --------------------------------------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name, function, connects=False):
        sub = commands.add_parser(name, help=function.__doc__)
        sub.set_defaults(function=function)
        if connects:
            sub.add_argument("--url-host", required=True, help="address to connect to")
            sub.add_argument("--port", type=int, required=True)
            sub.add_argument("--source", help="own address")
            sub.add_argument("--timeout", type=float, default=10, help="seconds for one step")
        return sub

    sub = command("server", server)
    sub.add_argument("--port", type=int, nargs="+", required=True)
    sub.add_argument("--name", required=True)
    sub.add_argument("--log", required=True)
    sub = command("clients", clients, connects=True)
    sub.add_argument("--connections", type=int, default=50)
    sub.add_argument("--concurrency", type=int, default=16)
    sub.add_argument("--requests", type=int, default=1)
    sub.add_argument("--paths", default="/")
    sub.add_argument("--end", choices=["close", "abort", "abort-early"], default="close")
    sub.add_argument("--variant", default="blue", help="that they go to")
    sub.add_argument("--log", required=True)
    sub = command("streams", streams, connects=True)
    sub.add_argument("--connections", type=int, default=10)
    sub.add_argument("--pause-ms", type=int, default=100)
    command("now", now)
    sub = command("judge", judge)
    sub.add_argument("--clients", required=True, help="their log")
    sub.add_argument("servers", nargs="*", metavar="BACKEND=LOG")
    return parser.parse_args()


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM] if "server" in sys.argv[1:2] else [])
    options = parse_arguments()
    options.function(options)


if __name__ == "__main__":
    main()
