#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Judges of a shadow: what clients sent against what servers got, and whose bytes a capture has. Standard library only.

Each prints one JSON object.
"""
import argparse
import collections
import ipaddress
import json
import mmap
import struct

EXAMPLES = 3


def read_log(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


class Server:
    """What one server wrote down of a run: each connection's requests, and what it sent to all of them."""

    def __init__(self, path, run):
        self.connections = collections.defaultdict(list)
        self.sent_bytes = 0
        for line in read_log(path):
            own = line.get("via") or (line.get("peer"), line.get("connection"))
            if line["event"] in ("request", "datagram") and line["run"] == run:
                self.connections[own].append([line["id"], line["bytes"], line["digest"]])
            elif line["event"] == "end" and own in self.connections:
                self.sent_bytes += line["sent"]
        self.streams = collections.defaultdict(list)  # by the client's connection
        for requests in self.connections.values():
            for number in sorted({int(name.split(".")[0]) for name, _, _ in requests}):
                self.streams[number].append(requests)

    def judge(self, number, sent):
        """same; prefix: the first ones only; absent; wrong: what no client sent so."""
        streams = self.streams.get(number, [])
        if not streams:
            return "same" if not sent else "absent"
        if len(streams) > 1:
            return "wrong"
        if streams[0] == sent:
            return "same"
        return "prefix" if streams[0] == sent[:len(streams[0])] else "wrong"


def judge_server(path, run, connections):
    server = Server(path, run)
    said = collections.Counter(same=0, prefix=0, absent=0, wrong=0)
    examples = collections.defaultdict(list)
    for number, sent in connections.items():
        how = server.judge(number, sent)
        said[how] += 1
        if how != "same" and len(examples[how]) < EXAMPLES:
            got = server.streams.get(number, [])
            examples[how].append({"sent": len(sent), "got": [len(stream) for stream in got], "differs": next(
                ([mine, other] for stream in got for mine, other in zip(sent, stream) if mine != other), None)})
    unknown = set(server.streams) - set(connections)
    said["wrong"] += len(unknown)
    return {**said, "requests": sum(len(stream) for streams in server.streams.values() for stream in streams),
            "sent_bytes": server.sent_bytes, "examples": examples}


def compare(options):
    """For each connection of a run: did production, and did the shadow, get the very requests, in order and whole?"""
    connections = {line["connection"]: line["requests"] for line in read_log(options.client) if line["run"] == options.run}
    print(json.dumps({
        "connections": len(connections), "requests": sum(len(sent) for sent in connections.values()),
        **({"production": judge_server(options.production, options.run, connections)} if options.production else {}),
        "shadow": judge_server(options.shadow, options.run, connections)}))


def agree(options):
    """Did the shadow get on each connection what production got on it? For clients that write nothing down: whose every
    request has its own ID, and who may go away before the last one of a connection is answered."""
    production, shadow = (Server(path, options.run).connections.values() for path in (options.production, options.shadow))
    by_first = {requests[0][0]: requests for requests in shadow}
    said = collections.Counter(same=0, absent=0, wrong=0)
    for requests in production:
        other = by_first.pop(requests[0][0], None)
        common = min(len(requests), len(other or []))
        said["absent" if not other else "same" if requests[:common] == other[:common] and
             max(len(requests), len(other)) - common <= 1 else "wrong"] += 1
    said["wrong"] += sum(len(requests) > 1 for requests in by_first.values())
    print(json.dumps({"connections": len(production), "requests": sum(map(len, production)),
                      "shadow_requests": sum(map(len, shadow)), **said}))


def frames(path):
    """Every frame of a capture file (pcap, Ethernet), as (offset, length) in its bytes."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        offset = 24
        while offset + 16 <= len(data):
            captured, whole = struct.unpack_from(order + "II", data, offset + 8)
            if captured != whole:
                raise ValueError(f"{path}: a frame of {whole} bytes was cut")
            yield data[offset + 16:offset + 16 + captured]
            offset += 16 + captured


def addresses(frame):
    """Source and destination of a frame's IP packet, None where there is none."""
    kind, = struct.unpack_from("!H", frame, 12)
    if kind == 0x0800:
        return ipaddress.ip_address(frame[26:30]), ipaddress.ip_address(frame[30:34])
    if kind == 0x86dd:
        return ipaddress.ip_address(frame[22:38]), ipaddress.ip_address(frame[38:54])
    return None, None


def leaks(options):
    """Frames of a capture that have --mark in them, or come from a shadow's address or MAC; and those of --sign, that
    say that the capture does see what is there."""
    macs = {bytes.fromhex(mac.replace(":", "")) for mac in options.mac}
    sources = {ipaddress.ip_address(address) for address in options.address}
    said = collections.Counter(frames=0, bytes=0, marked=0, shadow_address=0, shadow_mac=0, signed=0)
    examples = []
    for frame in frames(options.capture):
        said["frames"] += 1
        said["bytes"] += len(frame)
        said["signed"] += options.sign.encode() in frame
        leak = {"marked": options.mark.encode() in frame, "shadow_address": addresses(frame)[0] in sources,
                "shadow_mac": frame[6:12] in macs}
        said.update({name: 1 for name, is_so in leak.items() if is_so})
        if any(leak.values()) and len(examples) < EXAMPLES:
            examples.append(frame[:80].hex())
    print(json.dumps({**said, "leaked": said["marked"] + said["shadow_address"] + said["shadow_mac"], "examples": examples}))


def difference(before, after):
    """Of all whole numbers in them; everything else, such as quantiles and shares, is as it is after."""
    if isinstance(after, dict):
        return {name: difference((before or {}).get(name), value) for name, value in after.items()}
    if isinstance(after, int) and not isinstance(after, bool):
        return after - (before or 0)
    return after


def since(options):
    """A shadow's status less an earlier one, with the coverage of the time between."""
    with open(options.before) as before, open(options.after) as after:
        before, now = json.load(before), json.load(after)
    said = {**difference(before, now), "mirroring": now["mirroring"]}
    for name, key in (("matrix", ("production", "shadow")), ("length_difference", ("from", "to"))):
        earlier = {tuple(line[k] for k in key): line["requests"] for line in before[name]}
        said[name] = [{**line, "requests": line["requests"] - earlier.get(tuple(line[k] for k in key), 0)}
                      for line in now[name]]
        said[name] = [line for line in said[name] if line["requests"]]
    ended = said["eligible"] - now["mirroring"] + before["mirroring"]
    said["coverage"] = said["whole"] / ended if ended else None
    print(json.dumps(said))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("compare", help=compare.__doc__)
    sub.set_defaults(function=compare)
    sub.add_argument("--run", required=True)
    sub.add_argument("--client", required=True, help="their record")
    sub.add_argument("--production", help="its log")
    sub.add_argument("--shadow", required=True, help="its log")
    sub = commands.add_parser("agree", help=agree.__doc__)
    sub.set_defaults(function=agree)
    sub.add_argument("--run", required=True)
    sub.add_argument("--production", required=True)
    sub.add_argument("--shadow", required=True)
    sub = commands.add_parser("leaks", help=leaks.__doc__)
    sub.set_defaults(function=leaks)
    sub.add_argument("--capture", required=True)
    sub.add_argument("--mark", required=True)
    sub.add_argument("--sign", required=True)
    sub.add_argument("--address", nargs="*", default=[])
    sub.add_argument("--mac", nargs="*", default=[])
    sub = commands.add_parser("since", help=since.__doc__)
    sub.set_defaults(function=since)
    sub.add_argument("before")
    sub.add_argument("after")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
