#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""How long the control plane takes. Runs in the splitter's namespace of the lab that control.sh makes."""
import argparse
import ctypes
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

SERVICES = 64
PORT = 8000  # of the first service; the others' follow
ROUNDS = 5
PAUSE_MS = 3  # of the generator, at most, for a round to count
PR_SET_PDEATHSIG = 1
OTHER = {"blue": "green", "green": "blue"}


def addresses(variant, count):
    net = {"blue": 1, "green": 2}[variant]
    return [f"10.20.0.{net}{n + 1}" for n in range(count)]


def services(backends, count=SERVICES):
    """Blue and green, with that many backends each; every backend's port is its service's."""
    text = ""
    for n in range(count):
        text += f"  service{n}:\n    address: 10.0.0.10\n    port: {PORT + n}\n    protocol: tcp\n    forward: dnat\n"
        text += "    drain: {timeout: 1s, limit: 1s}\n    variants:\n"
        for variant, weight in (("blue", 100), ("green", 0)):
            text += f"      {variant}: {{weight: {weight}, backends: ["
            text += ", ".join(f'"{a}:{PORT + n}"' for a in addresses(variant, backends)) + "]}\n"
    return text


def one_service(backends):
    endpoints = [f"{a}:{20000 + n}" for n in range((backends + 7) // 8) for a in addresses("blue", 8)][:backends]
    text = "  large:\n    address: 10.0.0.10\n    port: 9000\n    protocol: tcp\n    forward: dnat\n    variants:\n"
    return text + "      blue: {weight: 100, backends: [" + ", ".join(f'"{e}"' for e in endpoints) + "]}\n"


class Lab:
    def __init__(self, options, state="control"):
        self.options = options
        self.daemon = None
        self.folder = os.path.join(options.lab, "control")
        self.state = os.path.join(options.lab, state)
        self.pins = os.path.join(options.lab, "bpf", "control")
        self.socket = os.path.join(self.folder, "api.sock")
        self.config = os.path.join(self.folder, "headgate.yaml")
        os.makedirs(self.folder, exist_ok=True)

    def configure(self, text, limits=""):
        with open(self.config, "w", encoding="ascii") as out:
            out.write("interfaces: [front, back]\nmetrics: {listen: 127.0.0.1:9477}\n")
            out.write(f"limits: {{{limits}}}\n" if limits else "")
            out.write("services:\n" + text)

    def start(self):
        """Milliseconds until the API answers."""
        command = [os.path.join(self.options.build, "headgated"), "--config", self.config, "--socket", self.socket,
                   "--pins", self.pins, "--state", os.path.join(self.state, "state.json")]
        libc = ctypes.CDLL(None)
        with open(os.path.join(self.folder, "headgated.err"), "a", encoding="utf-8") as log:
            began = time.monotonic()
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log,
                                           preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        while True:
            try:
                self.ask("GET", "/v1/version")
                return (time.monotonic() - began) * 1000
            except OSError:
                if self.daemon.poll() is not None or time.monotonic() > began + 30:
                    sys.exit("headgated does not start; see " + log.name + "\n" + open(log.name).read()[-2000:])
                time.sleep(0.001)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def stop(self):
        """Ends it, and takes away all that it had in the kernel."""
        if self.daemon and self.daemon.poll() is None:
            self.ask("POST", "/v1/detach")
            self.daemon.wait()
        self.daemon = None
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))

    def request(self, method, path, body=None):
        text = json.dumps(body) if body is not None else ""
        return (f"{method} {path} HTTP/1.1\r\nHost: headgate\r\nConnection: close\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n{text}").encode()

    def ask(self, method, path, body=None):
        """The answer's body, and milliseconds from the request to its end."""
        with socket.socket(socket.AF_UNIX) as to:
            to.connect(self.socket)
            return self.exchange(to, self.request(method, path, body))

    @staticmethod
    def exchange(to, request):
        parts = []
        began = time.monotonic()
        to.sendall(request)
        while part := to.recv(1 << 20):
            parts.append(part)
        took = (time.monotonic() - began) * 1000
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            sys.exit(f"refused: {request[:200]!r}: {body[:500]!r}")
        return body, took

    def scrape(self):
        with socket.create_connection(("127.0.0.1", 9477)) as to:
            return self.exchange(to, self.request("GET", "/metrics"))

    def settle(self):
        """Waits until nothing is tracked, which is tidied up by the sweep after that, and all tables are at hand."""
        until = time.monotonic() + 30
        while any(s["slots"]["tracked"] for s in json.loads(self.ask("GET", "/v1/services")[0])["services"]):
            if time.monotonic() > until:
                sys.exit("slots do not settle")
            time.sleep(0.2)
        time.sleep(2.5)

    def until_last_packet(self, old, trigger):
        o = self.options
        hosts = [f"{o.namespaces}-{host}" for host in ("client", old, OTHER[old])]
        output = subprocess.run([os.path.join(o.build, "tests/bench/control/last_packet"), *hosts, o.gateway, "10.0.0.10",
                                 str(PORT), str(SERVICES), *trigger], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(output)


def figure(values, unit="ms"):
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "unit": unit}


def switch_once(lab, old, by_command):
    lab.settle()
    if by_command:
        command = os.path.join(lab.options.build, "headgate")
        return lab.until_last_packet(old, ["--", command, "--socket", lab.socket, "switch", "--all", OTHER[old]])
    path = os.path.join(lab.folder, "request")
    with open(path, "wb") as out:
        out.write(lab.request("POST", "/v1/switch", {"all": True, "to": OTHER[old]}))
    return lab.until_last_packet(old, [lab.socket, path])


def switch(lab, figures, name, backends, rounds, by_command=False):
    lab.configure(services(backends))
    lab.start()
    wait_for_hops(lab)
    rows = []
    old = "blue"
    # Where the generator itself was kept waiting, nothing has been measured.
    for number in range(3 * rounds):
        row = switch_once(lab, old, by_command)
        old = OTHER[old]
        if row["pause_ms"] < PAUSE_MS or number - len(rows) >= rounds:
            rows.append(row)
        if len(rows) == rounds:
            break
    lab.stop()
    figures[name] = figure([r["last_old_ms"] for r in rows])
    figures[name + "_end"] = figure([r["end_ms"] for r in rows])


def wait_for_hops(lab):
    until = time.monotonic() + 10
    while not all(b["next_hop"] for s in json.loads(lab.ask("GET", "/v1/services")[0])["services"]
                  for v in s["variants"] for b in v["backends"]):
        if time.monotonic() > until:
            sys.exit("next hops are not known")
        time.sleep(0.05)


def rebuild(lab, figures):
    """By reload, which answers as soon as the table is in force; by drain, which then reports on 1 000 backends."""
    drained, reloaded = [], []
    lab.configure(one_service(1000))
    lab.start()
    for number in range(ROUNDS):
        backend = f"10.20.0.11:{20000 + 8 * number}"
        for state in (True, False):
            drained.append(lab.ask("PUT", "/v1/services/large/backends", {"backend": backend, "drained": state})[1])
        for count in (999, 1000):
            lab.configure(one_service(count))
            reloaded.append(lab.ask("POST", "/v1/reload")[1])
    lab.stop()
    figures["rebuild_1000"] = figure(reloaded)
    figures["rebuild_1000_drain"] = figure(drained)


def adopt(lab, figures, name, text):
    times, fresh = [], []
    lab.configure(text)
    fresh.append(lab.start())
    for _ in range(ROUNDS):
        wait_for_hops(lab)
        lab.kill()
        times.append(lab.start())
        if not json.loads(lab.ask("GET", "/v1/status")[0])["adopted"]:
            sys.exit("not adopted")
    lab.stop()
    figures[name] = figure(times)
    figures[name + "_first_load"] = figure(fresh)


def scrape(lab, figures):
    lab.configure(services(8))
    lab.start()
    wait_for_hops(lab)
    pages = [lab.scrape() for _ in range(ROUNDS)]
    answers = [lab.ask("GET", "/v1/services") for _ in range(ROUNDS)]
    lab.stop()
    figures["scrape"] = figure([took for _, took in pages])
    figures["scrape_bytes"] = figure([len(page) for page, _ in pages], "bytes")
    figures["services_report"] = figure([took for _, took in answers])


MEMORY = {
    "default": "",
    "small": "services: 16, backends: 64, slot_tables: 64, half_open: 4096, flows: 16384, shadow_flows: 64, shadow_segments: 64",
    "flows_1m": "flows: 1000000",
    "services_1000": "services: 1000, backends: 4096, slot_tables: 2100",
}


def memory(lab, figures):
    for name, limits in MEMORY.items():
        lab.configure(services(1, 1), limits)
        lab.start()
        output = subprocess.run([os.path.join(lab.options.build, "headgate"), "--socket", lab.socket, "status", "-o",
                                 "json"], check=True, stdout=subprocess.PIPE).stdout
        figures["memory_" + name] = figure([json.loads(output)["memory_bytes"]], "bytes")
        lab.stop()


def main():
    parser = argparse.ArgumentParser()
    for option in ("build", "lab", "gateway", "namespaces", "out"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--only", default=os.environ.get("BENCH_ONLY", ""))
    options = parser.parse_args()
    lab = Lab(options)
    figures = {}
    parts = {
        "switch": lambda: switch(lab, figures, "switch_64", 1, ROUNDS),
        "command_switch": lambda: switch(lab, figures, "switch_64_command", 1, 3, True),
        "large_switch": lambda: switch(lab, figures, "switch_64_of_1024_backends", 8, 3),
        "disk_switch": lambda: switch(Lab(options, "disk"), figures, "switch_64_disk", 1, 3),
        "rebuild": lambda: rebuild(lab, figures),
        "adopt": lambda: adopt(lab, figures, "adopt", services(1)),
        "large_adopt": lambda: adopt(lab, figures, "adopt_1024_backends", services(8)),
        "scrape": lambda: scrape(lab, figures),
        "memory": lambda: memory(lab, figures),
    }
    for name, part in parts.items():
        if options.only in name:
            part()
    for name, f in figures.items():
        print(f"  {name:34} {f['min']:14.3f} {f['median']:14.3f} {f['max']:14.3f} {f['unit']}")
    ms = {name: figures[name]["median"] for name in ("switch_64", "rebuild_1000", "adopt", "scrape") if name in figures}
    with open(options.out, "w", encoding="ascii") as out:
        json.dump({"figures": figures, "ms": ms}, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main()
