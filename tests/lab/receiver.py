#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who is asked before a step, told of a transition, or asked for a value over HTTP. Standard library only.

What it answers is in the JSON file --answers, read anew for every request: {"/path": {"status": 200, "body": {..}}}, or
{"/path": {"hang": true}}, which never answers; a path that is not there gets 200 and {}. Every request is a line of the
--log: {"path", "query", "body", "time"}.
"""
import argparse
import http.server
import json
import threading
import time
import urllib.parse

never = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        line = json.dumps({"path": url.path, "query": url.query, "body": json.loads(text) if text else None,
                           "time": time.monotonic()})
        with self.server.lock, open(self.server.options.log, "a") as log:
            log.write(line + "\n")
        with open(self.server.options.answers) as answers:
            answer = json.load(answers).get(url.path, {})
        if answer.get("hang"):
            never.wait()
        body = json.dumps(answer.get("body", {})).encode()
        self.send_response(answer.get("status", 200))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = handle_request

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--answers", required=True)
    options = parser.parse_args()
    http.server.ThreadingHTTPServer.daemon_threads = True
    server = http.server.ThreadingHTTPServer((options.address, options.port), Handler)
    server.options = options
    server.lock = threading.Lock()
    print(json.dumps({"event": "open"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
