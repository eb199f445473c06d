#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What tests/bench/rates.sh does not do in shell: reckoning.

  rates.py http OUTPUT PIDS ROUNDS SECONDS NAME=URL...
  rates.py summary PACKETS REQUESTS
"""
import json
import os
import re
import resource
import statistics
import subprocess
import sys


def worked_s(processes):
    """Seconds that the processor has worked for some processes, all their threads, and for children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in processes:
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0]) / 1e9
    return total


def requests(url, seconds):
    """How many requests wrk had answered."""
    output = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}", url], check=True, capture_output=True,
                            text=True).stdout
    count = re.search(r"^ *(\d+) requests in", output, re.M)
    if not count or re.search("Non-2xx|Socket errors", output):
        sys.exit(f"rates: {url}: not every request was answered: {output}")
    return int(count[1])


def http(output, processes, rounds, seconds, *urls):
    """Requests a second of work, one URL after the other, so many rounds; the first one warms up."""
    processes = processes.split(",")
    with open(output, "w", encoding="ascii") as file:
        for number in range(-1, int(rounds)):
            for name, url in (pair.split("=", 1) for pair in urls):
                before = worked_s(processes)
                count = requests(url, int(seconds) if number >= 0 else 1)
                rate = count / (worked_s(processes) - before)
                if number >= 0:
                    print(name, rate, file=file)


def read(path):
    """Each line's numbers, by the name that it begins with."""
    rounds = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, *numbers = line.split()
            rounds.setdefault(name, []).append([float(number) for number in numbers])
    return rounds


# Headgate's, divided by another's in the same round.
RATIOS = {
    "nft_dnat": ("dnat_10k", "nftables_dnat_10k"),
    "nft_nat": ("nat_10k", "nftables_nat_10k"),
    "nft_dup": ("mirrored_10k", "nftables_dup_10k"),
    "haproxy": ("http_nat", "http_haproxy"),
    "routing": ("http_nat", "http_routing"),
}
MORE_RATIOS = {
    "nft_dnat_l2dsr": ("l2dsr_10k", "nftables_dnat_10k"),
    "nft_dnat_ipip": ("ipip_10k", "nftables_dnat_10k"),
    "nft_dnat_1": ("dnat_1", "nftables_dnat_1"),
    "nft_dnat_l2dsr_1": ("l2dsr_1", "nftables_dnat_1"),
    "nft_dnat_ipip_1": ("ipip_1", "nftables_dnat_1"),
    "nft_nat_1": ("nat_1", "nftables_nat_1"),
    "nft_dup_1": ("mirrored_1", "nftables_dup_1"),
    "haproxy_dnat": ("http_dnat", "http_haproxy"),
    "routing_dnat": ("http_dnat", "http_routing"),
    "production_cost": ("production_unmirrored_10k", "production_mirrored_10k"),
    "production_tenth_cost": ("production_unmirrored_10k", "production_mirrored_tenth_10k"),
    "mirrored_cost": ("unmirrored_10k", "mirrored_10k"),
    "mirrored_tenth_cost": ("unmirrored_10k", "mirrored_tenth_10k"),
}


def figure(values, unit):
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "unit": unit}


def summary(packets_path, requests_path):
    rounds = {}
    figures = {}
    for name, numbers in read(packets_path).items():
        lost = 1 - statistics.median(share for _, _, share in numbers)
        if lost > 0.01:
            sys.exit(f"rates: {name}: of what was sent {lost:.1%} did not come as it should")
        # A way with a mirror is as fast as the slower of the two, if all is to be copied.
        whole = name.rpartition("_")[0] in ("mirrored", "nftables_dup")
        rounds[name] = [min(rate, copies) if whole else rate for rate, copies, _ in numbers]
        figures["rate_" + name] = figure(rounds[name], "packets/s")
    for name, numbers in read(requests_path).items():
        rounds[name] = [rate for rate, in numbers]
        figures["rate_" + name] = figure(rounds[name], "requests/s")
    ratios = {}
    for name, (ours, theirs) in (RATIOS | MORE_RATIOS).items():
        if not {ours, theirs} <= rounds.keys():
            continue
        quotients = [our / their for our, their in zip(rounds[ours], rounds[theirs])]
        if name in RATIOS:
            ratios[name] = round(statistics.median(quotients), 3)
        else:
            figures["ratio_" + name] = figure(quotients, "1")
    for name, one in figures.items():
        print(f"{name:24} {one['min']:12.6g} {one['median']:12.6g} {one['max']:12.6g} {one['unit']}", file=sys.stderr)
    for name, ratio in ratios.items():
        print(f"{name:24} {ratio:25.6g}", file=sys.stderr)
    print(json.dumps({"figures": figures, "ratios": ratios}, indent=1))


{"http": http, "summary": summary}[sys.argv[1]](*sys.argv[2:])
