#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/bench/run.sh [BUILD]
#
# Measures what Headgate costs, prints it, and writes BUILD/bench.json. Each part is a program that writes a file of its
# own, {"figures": {...}, "ratios": {...}, "ms": {...}}, of which it may leave out what it has not.
set -eu

cd "$(dirname "$0")/../.."
build=${1:-build}
parts=$build/bench
[ "$(id -u)" -eq 0 ] || { echo "tests/bench/run.sh: must be root, for BPF" >&2; exit 1; }
rm -rf "$parts"
mkdir -p "$parts"

"$build/tests/bench/packets" --object "$build/headgate.bpf.o" --json "$parts/packets.json"
tests/bench/rates.sh "$build"
tests/bench/control.sh "$build"

python3 tests/bench/result.py merge "$build/bench.json" "$parts"/*.json
