#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/run.sh [BUILD [SUITE[:CASE]]]
#
# Runs every suite, or those whose name contains SUITE (of a lab suite, the cases whose name contains CASE), and says at
# the end how many cases passed and failed. A suite that crashes, hangs or runs nothing is a failure.
set -u

cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${1:-build}")
filter=${2:-}
export LAB_BUILD=$build LAB_FILTER="" CMOCKA_MESSAGE_OUTPUT=TAP
case $filter in
*:*) LAB_FILTER=${filter#*:} filter=${filter%%:*} ;;
esac

passed=0
failed=0
failures=()
child=
output=$(mktemp)
trap 'rm -f "$output"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

stop()
{
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
	exit "$1"
}

# Unit tests need no rights: as nobody, where nobody can reach the build folder.
unprivileged=()
if [ "$(id -u)" -eq 0 ]; then
	unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	"${unprivileged[@]}" test -r "$build/headgated" || unprivileged=()
fi

# Runs one suite: its output is kept, and shown at once when it is slow (live) or afterwards when it fails.
suite() # quiet|live NAME SECONDS CMD...
{
	local how=$1 name=$2 limit=$3 code ok not_ok skipped planned begin=$SECONDS
	shift 3
	[[ $name == *"$filter"* ]] || return 0
	: >"$output"
	[ "$how" = quiet ] || printf '%s\n' "$name"
	timeout --foreground -k 10 "$limit" "$@" >"$output" 2>&1 </dev/null &
	child=$!
	[ "$how" = quiet ] || tail -n +1 -f --pid=$child -s 0.2 "$output" &
	local shower=$!
	wait "$child"
	code=$?
	child=
	[ "$how" = quiet ] || wait "$shower"

	ok=$(grep -c '^ok ' "$output")
	skipped=$(grep -cE '^(not )?ok [0-9]+ # SKIP' "$output")
	not_ok=$(($(grep -c '^not ok ' "$output") - skipped))
	planned=$(awk -F'\\.\\.' '/^1\.\.[0-9]+$/ { sum += $2 } END { print sum + 0 }' "$output")
	while read -r line; do
		failures+=("$name: $line")
	done < <(sed -n '/# SKIP/d; s/^not ok [0-9]* *-* *//p' "$output")
	if { [ $code -ne 0 ] && [ "$not_ok" -eq 0 ]; } || [ $((ok + not_ok + skipped)) -lt "$planned" ] ||
		{ [ $((ok + not_ok)) -eq 0 ] && [ -z "$LAB_FILTER" ]; }; then
		not_ok=$((not_ok + 1))
		failures+=("$name: crashed, hung or ran nothing (exit status $code)")
	fi
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	if [ "$not_ok" -gt 0 ] && [ "$how" = quiet ]; then
		cat "$output"
	fi
	printf '%-34s %4d passed %4d failed %4d s' "$name" "$ok" "$not_ok" $((SECONDS - begin))
	[ "$skipped" -eq 0 ] || printf ' (%d skipped)' "$skipped"
	printf '\n'
}

[ "$(id -u)" -eq 0 ] || { echo "tests/run.sh: must be root, for network namespaces and BPF" >&2; exit 1; }

for test in "$build"/tests/unit/test_*; do
	if [ -x "$test" ]; then
		suite quiet "unit/${test##*/}" 120 "${unprivileged[@]}" "$test"
	fi
done
suite quiet unit/oracle_table 120 "${unprivileged[@]}" /usr/bin/python3 tests/unit/oracle_table.py \
	"$build/tests/unit/table_dump"
for test in "$build"/tests/bpf/test_*; do
	if [ -x "$test" ]; then
		suite quiet "bpf/${test##*/}" 120 "$test"
	fi
done
for test in tests/lab/test_*.sh; do
	modes=$(sed -n 's/^# modes: //p' "$test")
	for mode in ${modes:-once}; do
		name=lab/$(basename "$test" .sh)
		[ "$mode" = once ] || name+=-$mode
		suite live "$name" 240 bash "$test" "$mode"
		case $test in
		*/test_forward.sh | */test_nat.sh | */test_dnat.sh)
			for attach in tc generic; do
				suite live "$name ($attach)" 240 env LAB_ATTACH=$attach bash "$test" "$mode"
			done
			;;
		esac
	done
done

if [ ${#failures[@]} -gt 0 ]; then
	printf '\nFailures:\n'
	printf '  %s\n' "${failures[@]}"
fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
