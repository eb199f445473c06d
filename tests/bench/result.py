#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
result.py merge RESULT PART...     one file of what all parts of a run have measured
result.py check RESULT RECORDED    fails where a ratio of a run has fallen behind the recorded one
"""
import json
import os
import platform
import subprocess
import sys
import time

TOLERANCE = 1.25

# Headgate's rate in those of others: more is better. All other ratios are of costs.
RATES = {"nft_dnat", "nft_nat", "nft_dup", "haproxy", "routing"}


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        models = [line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}, {memory:.0f} GiB"


def merge(path, parts):
    result = {
        "machine": machine(),
        "kernel": platform.release(),
        "compiler": first_line("clang", "--version"),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "figures": {},
        "ratios": {},
        "ms": {},
    }
    for part in parts:
        with open(part, encoding="utf-8") as file:
            measured = json.load(file)
        for kind in ("figures", "ratios", "ms"):
            twice = result[kind].keys() & measured.get(kind, {}).keys()
            if twice:
                raise SystemExit(f"bench: {part} measures what another part has measured: {', '.join(twice)}")
            result[kind].update(measured.get(kind, {}))
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    os.rename(path + ".new", path)
    print(f"\n{result['machine']}, Linux {result['kernel']}, {result['compiler']}")
    for name, ratio in result["ratios"].items():
        print(f"  {name:20} {ratio:8.2f}")
    for name, ms in result["ms"].items():
        print(f"  {name:20} {ms:8.2f} ms")
    print(f"written to {path}")


def check(path, recorded_path):
    with open(path, encoding="utf-8") as file:
        ratios = json.load(file)["ratios"]
    with open(recorded_path, encoding="utf-8") as file:
        recorded = json.load(file)["ratios"]
    behind = 0
    for name, was in recorded.items():
        now = ratios.get(name)
        if now is None:
            verdict = "was not measured"
        elif now <= 0 or was / now > TOLERANCE if name in RATES else now / was > TOLERANCE:
            verdict = f"is {now:.2f}"
        else:
            continue
        print(f"bench-check: {name} {verdict}; recorded is {was:.2f}", file=sys.stderr)
        behind += 1
    if behind:
        return 1
    print(f"bench-check: {len(recorded)} ratios, none behind by more than {TOLERANCE - 1:.0%}")
    return 0


def main(arguments):
    if len(arguments) > 2 and arguments[0] == "merge":
        return merge(arguments[1], arguments[2:])
    if len(arguments) == 3 and arguments[0] == "check":
        return check(arguments[1], arguments[2])
    print(__doc__.strip(), file=sys.stderr)
    return 2


sys.exit(main(sys.argv[1:]))
