#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An HTTP server on a port of 127.0.0.1, which it prints; the path says how it answers, well or badly.

/say?status=N&body=TEXT[&length=BYTES]  that; filled up with blanks to so many bytes
/echo                                   what was asked, as JSON
/keep, /kept                            {}, and all that was posted to /keep since the last time, as JSON
/slowly?ms=N                            200 and {}, after that time
/held, /release, /hold                  {}, the first not between the third and the second
/silent, /drip, /drip-headers, /reset, /closed, /cut, /endless, /announced   as they are called
Ends with its standard input.
"""
import json
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

kept = []
released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body):
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/echo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send(self, text):
        self.connection.sendall(text.encode())

    def until_gone(self, piece, pause_s):
        while True:
            self.send(piece)
            time.sleep(pause_s)

    def do_GET(self):
        self.close_connection = True
        try:
            self.answer()
        except OSError:
            pass  # the other side has gone

    do_POST = do_GET

    def answer(self):
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if parts.path == "/say":
            body = query.get("body", "").encode()
            self.say(int(query.get("status", 200)), body.ljust(int(query.get("length", 0))))
        elif parts.path == "/echo":
            self.say(200, json.dumps({"method": self.command, "path": self.path, "body": asked,
                                      "headers": {k.lower(): v for k, v in self.headers.items()}}).encode())
        elif parts.path == "/keep":
            kept.append(asked)
            self.say(200, b"{}")
        elif parts.path == "/kept":
            taken = kept[:]
            del kept[:len(taken)]
            self.say(200, json.dumps(taken).encode())
        elif parts.path == "/slowly":
            time.sleep(int(query["ms"]) / 1000)
            self.say(200, b"{}")
        elif parts.path == "/held":
            released.wait()
            self.say(200, b"{}")
        elif parts.path == "/release":
            released.set()
            self.say(200, b"{}")
        elif parts.path == "/hold":
            released.clear()
            self.say(200, b"{}")
        elif parts.path == "/silent":
            self.rfile.read(1)
        elif parts.path == "/drip":
            self.send("HTTP/1.1 200 OK\r\n\r\n")
            self.until_gone(" ", 0.05)
        elif parts.path == "/drip-headers":
            self.send("HTTP/1.1 200 OK\r\nX: ")
            self.until_gone("x", 0.05)
        elif parts.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
            self.connection.close()
        elif parts.path == "/cut":
            self.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")
        elif parts.path == "/endless":
            self.send("HTTP/1.1 200 OK\r\n\r\n")
            self.until_gone("0123456789" * 1000, 0)
        elif parts.path == "/announced":
            self.send("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n")
            self.rfile.read(1)
        # /closed: nothing


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_):
        pass


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"PORT {server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
