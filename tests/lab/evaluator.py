#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Judges the answers of each version, and tells headgated: of so many answers so many were hallucinated.

It is a lab's: the answers it judges are drawn by chance, at a share per variant, that SIGUSR1 changes for another, and
SIGUSR2 back again. It goes on while the daemon is away or has no rollout to be told of, as a real one would have to. Standard library only.
"""
import argparse
import http.client
import json
import random
import signal
import socket
import time


class Daemon(http.client.HTTPConnection):
    """Its API, on a Unix socket."""

    def __init__(self, path):
        super().__init__("headgate", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def post(self, path, document):
        """The status; 0 without an answer."""
        try:
            self.request("POST", path, json.dumps(document))
            answer = self.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self.close()
            return 0


def share(text):
    variant, value = text.split("=")
    return variant, float(value)


def body(options, chance, variant, value):
    if options.value:
        return {"metric": options.metric, "variant": variant, "value": value}
    events = sum(chance.random() < value for _ in range(options.trials))
    return {"metric": options.metric, "variant": variant, "events": events, "trials": options.trials}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--metric", default="hallucination-rate")
    parser.add_argument("--share", type=share, nargs="+", required=True, metavar="VARIANT=0.02")
    parser.add_argument("--then", type=share, nargs="+", default=[], metavar="VARIANT=0.5", help="after SIGUSR1")
    parser.add_argument("--value", action="store_true", help="post the shares themselves, not counts")
    parser.add_argument("--trials", type=int, default=20, help="answers judged at a time")
    parser.add_argument("--every", type=float, default=0.1, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    chance = random.Random(options.seed)
    shares = dict(options.share)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))

    def change(number, _):
        shares.update(options.then if number == signal.SIGUSR1 else options.share)
        print(json.dumps({"event": "changed", "time": time.monotonic()}), flush=True)

    signal.signal(signal.SIGUSR1, change)
    signal.signal(signal.SIGUSR2, change)
    daemon = Daemon(options.socket)
    statuses = {}
    print(json.dumps({"event": "open"}), flush=True)
    while not stop:
        for variant, value in list(shares.items()):
            status = daemon.post(f"/v1/services/{options.service}/rollout/metrics", body(options, chance, variant, value))
            statuses[status] = statuses.get(status, 0) + 1
        time.sleep(options.every)
    print(json.dumps({"event": "end", "posted": statuses}), flush=True)


if __name__ == "__main__":
    main()
