#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Independent oracle for the tables of user/table.c and user/maglev.c.

    oracle_table.py PATH_TO_table_dump

It shares no code with them and gets there another way. Owners: scores in floating point, with libm's logarithm; no
assignment is made, but the dumped one is proved best by prices (a feasible dual, found with Bellman-Ford over the
differences that the assignment implies; none exists where a cycle of moves would gain). Two variants: by sorting.
Maglev: permutations written out as lists, and turns by how many are due in a round.
"""
import ipaddress
import math
import random
import subprocess
import sys
from fractions import Fraction

SLOTS = 65536
MASK = 2 ** 64 - 1
TOLERANCE = 1e-9  # of scores; neighbouring slots at a boundary are some 1e-4 apart
failed = False


def check(good, what):
    global failed
    failed = failed or not good
    print(("ok - " if good else "not ok - ") + what)


def mix(h):
    """MurmurHash3's 64-bit finalizer."""
    h = ((h ^ (h >> 33)) * 0xff51afd7ed558ccd) & MASK
    h = ((h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53) & MASK
    return h ^ (h >> 33)


def name_hash(name):
    h = 14695981039346656037
    for byte in name.encode():
        h = (h ^ byte) * 1099511628211 % 2 ** 64
    return mix(h)


def dump(program, kind, service, spec):
    run = subprocess.run([program, kind, service] + ["%s=%d" % item for item in spec], stdout=subprocess.PIPE)
    numbers = [int(line) for line in run.stdout.split()]
    if run.returncode or len(numbers) != SLOTS + 1:
        sys.exit("not ok - %s %s %s gives no table" % (kind, service, spec))
    return numbers[0], numbers[1:]


# --- owners ----------------------------------------------------------------------------------------------------------

def shares(spec):
    """Hamilton's largest remainders, ties by name, in fractions."""
    total = sum(weight for _, weight in spec)
    quota = {name: Fraction(weight * SLOTS, total) for name, weight in spec}
    slots = {name: math.floor(q) for name, q in quota.items()}
    spare = SLOTS - sum(slots.values())
    for name in sorted(quota, key=lambda n: (slots[n] - quota[n], n))[:spare]:
        slots[name] += 1
    return [slots[name] for name, _ in spec]


def gumbel(h):
    """-ln(-ln u) with u = (h | 1) / 2^64, exact to rounding at both ends of u."""
    h |= 1
    return -math.log(-math.log1p((h - 2 ** 64) / 2 ** 64) if h >> 63 else 64 * math.log(2) - math.log(h))


def scores(seed, names):
    hashes = [name_hash(name) for name in names]
    table = []
    for slot in range(SLOTS):
        h = mix(seed << 32 | slot)
        table.append([gumbel(mix(h ^ n)) for n in hashes])
    return table


def prices(gain, owner, owned):
    """Prices under which every owner is the best bid, or None; and how much the cheapest swap of two would lose."""
    cost = {(i, j): math.inf for i in owned for j in owned if i != j}
    for row, i in zip(gain, owner):
        own = row[i]
        for j in owned:
            if j != i and own - row[j] < cost[i, j]:
                cost[i, j] = own - row[j]
    price = dict.fromkeys(owned, 0.0)
    for _ in range(len(owned) + 1):
        better = False
        for (i, j), c in cost.items():
            if price[i] + c < price[j] - TOLERANCE:
                price[j] = price[i] + c
                better = True
        if not better:
            margin = min((cost[i, j] + cost[j, i] for i, j in cost), default=math.inf)
            return price, margin
    return None, 0.0


def check_owners(program, service, spec):
    seed, owner = dump(program, "owners", service, spec)
    title = "owners of %s: %s" % (service, " ".join("%s=%d" % item for item in spec))
    title = title if len(title) < 100 else title[:97] + "..."
    check(seed == name_hash(service) >> 32, title + ": seed")
    asked = shares(spec)
    check([owner.count(i) for i in range(len(spec))] == asked, title + ": each has the slots asked")

    owned = [i for i, slots in enumerate(asked) if slots]
    gain = scores(seed, [name for name, _ in spec])
    price, margin = prices(gain, owner, owned)
    check(price is not None, title + ": no cycle of moves gains")
    if price is not None:
        wrong = sum(row[i] + price[i] < max(row[j] + price[j] for j in owned) - len(owned) * TOLERANCE
                    for row, i in zip(gain, owner))
        check(wrong == 0, title + ": every owner is the best bid under prices")
        check(margin > TOLERANCE, title + ": any swap of two slots loses")
    if len(owned) == 2:
        a, b = owned
        ordered = sorted(range(SLOTS), key=lambda slot: gain[slot][b] - gain[slot][a])
        check(all(owner[slot] == a for slot in ordered[:asked[a]]), title + ": first slots in order of difference")


# --- Maglev ----------------------------------------------------------------------------------------------------------

def endpoint_key(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    number = int(address) + (0xffff << 32 if address.version == 4 else 0)
    return number, int(port)


def endpoint_hash(seed, key):
    number, port = key
    h = mix(seed << 32 | port)
    for i in range(4):
        h = mix(h ^ (number >> (96 - 32 * i) & 0xffffffff)) + i
    return mix(h & MASK)


def maglev(seed, spec):
    """Pseudocode 1 of the paper, backends in order of address and port, with turns in proportion to weight."""
    heaviest = max(weight for _, weight in spec)
    order = sorted(range(len(spec)), key=lambda i: endpoint_key(spec[i][0]))
    permutation, turns = {}, {}
    for i in order:
        h = endpoint_hash(seed, endpoint_key(spec[i][0]))
        offset, skip = h % SLOTS, h // SLOTS % SLOTS | 1
        permutation[i] = [(offset + j * skip) % SLOTS for j in range(SLOTS)]
        # Turns due by the end of round r: the whole ones of (start + r * weight) / heaviest.
        turns[i] = (h >> 32) * heaviest >> 32, spec[i][1]
    entry = [-1] * SLOTS
    following = dict.fromkeys(order, 0)
    had = dict.fromkeys(order, 0)
    filled = 0
    round_number = 0
    while True:
        round_number += 1
        for i in order:
            start, weight = turns[i]
            if (start + round_number * weight) // heaviest == had[i]:
                continue
            had[i] += 1
            c = permutation[i][following[i]]
            while entry[c] >= 0:
                following[i] += 1
                c = permutation[i][following[i]]
            entry[c] = i
            following[i] += 1
            filled += 1
            if filled == SLOTS:
                return entry


def check_maglev(program, service, spec):
    seed, index = dump(program, "maglev", service, spec)
    title = "maglev of %s over %d: %s ..." % (service, len(spec), " ".join("%s=%d" % item for item in spec[:3]))
    check(index == maglev(seed, spec), title + ": entry by entry")
    total = sum(weight for _, weight in spec)
    off = max(abs(index.count(i) - SLOTS * spec[i][1] / total) for i in range(len(spec)))
    check(off < 2, title + ": within two slots of proportion (%.2f)" % off)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: oracle_table.py PATH_TO_table_dump")
    program = sys.argv[1]
    draw = random.Random(20240229)

    check_owners(program, "llm", [("blue", 95), ("green", 0), ("canary", 5)])
    check_owners(program, "llm", [("only", 3)])
    check_owners(program, "tiny", [("blue", 65535), ("canary", 1)])
    check_owners(program, "tiny", [("blue", 1000000), ("b", 20), ("c", 3)])
    for count in (2, 3, 4, 6, 16):
        names = ["%s%d" % (draw.choice(("v", "canary-", "r")), i) for i in range(count)]
        draw.shuffle(names)
        check_owners(program, "service-%d" % draw.randrange(1000),
                     [(name, draw.choice((1, draw.randrange(100), draw.randrange(1, 1000)))) for name in names])

    for count, most in ((1, 1), (2, 1), (3, 5), (7, 1), (12, 1000000), (60, 10)):
        spec = [("10.%d.%d.%d:%d" % (draw.randrange(256), draw.randrange(256), i, draw.randrange(1, 65536))
                 if draw.random() < 0.7 else "[fd00:%x::%x]:8000" % (draw.randrange(65536), i),
                 draw.randint(1, most)) for i in range(count)]
        check_maglev(program, "service-%d" % draw.randrange(1000), spec)
    sys.exit(1 if failed else 0)


main()
