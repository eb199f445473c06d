#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A control socket that tells of a rollout what it is told to.

    rollout_reports.py serve SOCKET FOLDER       answers with FOLDER/report.json; what is asked for is in FOLDER/asked
    rollout_reports.py make FOLDER [KEY=JSON..]  writes that report: a canary in its second step, but for what is said,
                                                 as state='"Paused"' or analysis.made=13
"""
import http.server
import json
import os
import socketserver
import sys

METRICS = [
    {"name": "error-rate", "source": "dataplane", "kind": "counts", "unit": "share", "dry_run": False,
     "verdict": "pass", "proven": False, "limit": "1.25 x stable", "candidate": 0.010, "candidate_low": 0.002,
     "candidate_high": 0.030, "stable": 0.012, "stable_low": 0.010, "stable_high": 0.014, "candidate_samples": 200,
     "stable_samples": 3800, "evidence": 0.9, "needed": 300.0, "why": "1.00 % of 200 beside 1.20 % of 3800"},
    {"name": "first-byte-p95", "source": "dataplane", "kind": "times", "unit": "s", "dry_run": True,
     "verdict": "inconclusive", "proven": False, "limit": "1.1 x stable", "candidate": 0.125, "candidate_low": 0.09,
     "candidate_high": None, "stable": 0.12, "stable_low": 0.11, "stable_high": 0.13, "candidate_samples": 12,
     "stable_samples": 3800, "evidence": 1.5, "needed": 300.0, "why": "12 of 100 samples"},
]


def steps(current):
    ladder = [("shadow", 20.0, 600.0), ("weight", 5.0, None), ("pause", None, 600.0), ("approval", None, None),
              ("weight", 50.0, None)]
    return [{"kind": kind, "share": share, "for_s": for_s,
             "state": "done" if i < current else "current" if i == current else "ahead"}
            for i, (kind, share, for_s) in enumerate(ladder)]


def report():
    return {"id": 7, "strategy": "canary", "state": "Progressing", "phase": "running", "cause": "its time was over",
            "stable": "blue", "candidate": "canary", "step": 1, "steps": steps(1), "began": "2026-01-02T03:04:05Z",
            "ended": None, "step_ran_s": 12.0, "deadline_in_s": 100.0, "by": "uid 0",
            "share": {"asked": 5.0, "slots": 5.0, "opened": 4.9, "active": None},
            "analysis": {"interval_s": 30, "alpha": 0.01, "made": 12, "next_in_s": 20.0, "last": "pass", "failures": 0,
                         "failure_limit": 2, "metrics": METRICS,
                         "ratio": {"checked": True, "why": "", "expected": 0.05, "actual": 0.049, "void": False}},
            "waits_for": "an analysis that passes", "result": None}


def make(folder, pairs):
    rollout = report()
    for pair in pairs:
        path, _, text = pair.partition("=")
        *parents, key = path.split(".")
        place = rollout
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[int(key) if isinstance(place, list) else key] = json.loads(text)
        if path == "step":
            rollout["steps"] = steps(rollout["step"])
    with open(f"{folder}/report.new", "w", encoding="utf-8") as file:
        json.dump({"service": "web", "rollout": rollout}, file)
    os.rename(f"{folder}/report.new", f"{folder}/report.json")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(f"{self.server.folder}/report.json", encoding="utf-8") as file:
            text = file.read()
        self.answer(200, f'{{"rollouts": [{text}]}}' if self.path == "/v1/rollouts" else text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(f"{self.server.folder}/asked", "a", encoding="utf-8") as file:
            file.write(body + "\n")
        if os.path.exists(f"{self.server.folder}/refusal.json"):
            with open(f"{self.server.folder}/refusal.json", encoding="utf-8") as file:
                self.answer(409, file.read())
        else:
            self.do_GET()

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve(path, folder):
    if os.path.exists(path):
        os.unlink(path)
    server = Server(path, Handler)
    server.folder = folder
    server.serve_forever()


{"serve": lambda rest: serve(*rest), "make": lambda rest: make(rest[0], rest[1:])}[sys.argv[1]](sys.argv[2:])
