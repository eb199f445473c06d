#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What went over the mirror, against what the client sent: two captures, as JSON.

copies.py CLIENT.pcap MIRROR.pcap

Of either, TCP segments with payload, SYN, FIN or RST count, by sequence number and payload: the client's own, which no
mode changes. Those that go to the client do not.
"""
import collections
import json
import struct
import sys


def frames(path):
    with open(path, "rb") as capture:
        data = capture.read()
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def segment(frame):
    """(sequence, flags, payload, port it goes to), or None: it is no TCP over IPv4."""
    if frame[12:14] != b"\x08\x00" or frame[14 + 9] != 6:
        return None
    l4 = 14 + (frame[14] & 15) * 4
    end = 14 + struct.unpack_from("!H", frame, 16)[0]
    to_port, sequence = struct.unpack_from("!HI", frame, l4 + 2)
    payload = frame[l4 + (frame[l4 + 12] >> 4) * 4:end]
    return sequence, frame[l4 + 13] & 7, bytes(payload), to_port


def count(path, ports):
    found = collections.Counter()
    idle = 0
    for frame in frames(path):
        s = segment(frame)
        if s is None or s[3] not in ports:
            continue
        if s[2] or s[1]:
            found[s[:3]] += 1
        else:
            idle += 1
    return found, idle


sent, acknowledgements = count(sys.argv[1], {80})
copied, idle_copies = count(sys.argv[2], {80, 8000})
print(json.dumps({
    "sent": sum(sent.values()),
    "sent_bytes": sum(len(payload) * n for (_, _, payload), n in sent.items()),
    "acknowledgements": acknowledgements,
    "missing": sum((sent - copied).values()),
    "too_many": sum((copied - sent).values()),
    "idle_copies": idle_copies,
}))
