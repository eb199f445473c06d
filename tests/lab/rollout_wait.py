#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Asks headgated for a service's rollout until an expression is true of it (r) or of its analyses made since the first
answer (made). Goes on while no daemon is there. Fails after --seconds, with what was said last."""
import argparse
import http.client
import json
import socket
import sys
import time


def report(path, service):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(f"GET /v1/services/{service}/rollout HTTP/1.1\r\nHost: headgate\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return json.loads(answer.read())["rollout"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--until", required=True, metavar="EXPRESSION")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    until = compile(options.until, "--until", "eval")
    deadline = time.monotonic() + options.seconds
    first = last = None
    while time.monotonic() < deadline:
        try:
            last = r = report(options.socket, options.service)
            if r is not None:
                first = r["analysis"]["made"] if first is None else first
                if eval(until, {"r": r, "made": r["analysis"]["made"] - first}):
                    return
        except (OSError, http.client.HTTPException) as error:
            last = str(error)
        time.sleep(0.02)
    print(f"waited in vain for {options.service} to be {options.until}: {json.dumps(last)}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
