# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Running suites and counting their cases. To be sourced, by bash, in the project's folder. A suite that crashes, hangs
# or runs nothing is a failure.

SUITES_SLOWNESS=${SUITES_SLOWNESS:-1} # how many times the usual a suite may take

passed=0
failed=0
failures=()
child=

# What to run: every suite, or those whose name contains SUITE (of a lab suite, the cases whose name contains CASE).
suites_begin() # BUILD [SUITE[:CASE]]
{
	build=$(realpath "$1")
	filter=${2:-}
	export LAB_BUILD=$build LAB_FILTER="" CMOCKA_MESSAGE_OUTPUT=TAP
	case $filter in
	*:*) LAB_FILTER=${filter#*:} filter=${filter%%:*} ;;
	esac
	output=$(mktemp)
	trap 'rm -f "$output"' EXIT
	trap 'suites_stop 130' INT
	trap 'suites_stop 143' TERM
}

suites_stop() # STATUS
{
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
	exit "$1"
}

# Runs one suite: its output is kept, and shown at once when it is slow (live) or afterwards when it fails.
suite() # quiet|live NAME SECONDS CMD...
{
	local how=$1 name=$2 limit=$3 code ok not_ok skipped planned begin=$SECONDS
	shift 3
	[[ $name == *"$filter"* ]] || return 0
	: >"$output"
	[ "$how" = quiet ] || printf '%s\n' "$name"
	timeout --foreground -k 10 $((limit * SUITES_SLOWNESS)) "$@" >"$output" 2>&1 </dev/null &
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
	# What it has to say beside its cases.
	if [ "$not_ok" -eq 0 ] && [ "$how" = quiet ]; then
		sed -nE '/^# (not )?ok /d; s/^# /    /p' "$output"
	fi
}

bpf_suites()
{
	local test
	for test in "$build"/tests/bpf/test_*; do
		if [ -x "$test" ]; then
			suite quiet "bpf/${test##*/}" 120 "$test"
		fi
	done
}

# Scripts, once in each of their modes; and with each of their ways to attach, beside the usual one.
script_suites() # FOLDER SCRIPT...
{
	local folder=$1 test modes mode attaches attach name
	shift
	for test in "$@"; do
		modes=$(sed -n 's/^# modes: //p' "$test")
		attaches=$(sed -n 's/^# attach: //p' "$test")
		for mode in ${modes:-once}; do
			name=$folder/$(basename "$test" .sh)
			[ "$mode" = once ] || name+=-$mode
			suite live "$name" 240 bash "$test" "$mode"
			for attach in $attaches; do
				suite live "$name ($attach)" 240 env LAB_ATTACH="$attach" bash "$test" "$mode"
			done
		done
	done
}

# Says how it went; succeeds when all did.
suites_end()
{
	if [ ${#failures[@]} -gt 0 ]; then
		printf '\nFailures:\n'
		printf '  %s\n' "${failures[@]}"
	fi
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
