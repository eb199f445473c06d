#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/run.sh [BUILD [SUITE[:CASE]]]
#
# Runs every suite, or those whose name contains SUITE (of a lab suite, the cases whose name contains CASE), and says at
# the end how many cases passed and failed. SUITES_JOBS=1 has lab suites run one by one, each shown as it goes.
set -u

cd "$(dirname "$0")/.." || exit 1
SUITES_JOBS=${SUITES_JOBS:-3}
# shellcheck source=tests/suites.sh
. tests/suites.sh
suites_begin "${1:-build}" "${2:-}"

# Unit tests need no rights: as nobody, where nobody can reach the build folder.
unprivileged=()
if [ "$(id -u)" -eq 0 ]; then
	unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	"${unprivileged[@]}" test -r "$build/headgated" || unprivileged=()
fi

[ "$(id -u)" -eq 0 ] || { echo "tests/run.sh: must be root, for network namespaces and BPF" >&2; exit 1; }

for test in "$build"/tests/unit/test_*; do
	if [ -x "$test" ]; then
		suite quiet "unit/${test##*/}" 120 "${unprivileged[@]}" "$test"
	fi
done
suite quiet unit/oracle_table 120 "${unprivileged[@]}" /usr/bin/python3 tests/unit/oracle_table.py \
	"$build/tests/unit/table_dump"
bpf_suites
script_suites lab tests/lab/test_*.sh
suites_end
