# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Running suites and counting their cases. To be sourced, by bash, in the project's folder. A suite that crashes, hangs
# or runs nothing is a failure.

SUITES_SLOWNESS=${SUITES_SLOWNESS:-1} # how many times the usual a suite may take
SUITES_JOBS=${SUITES_JOBS:-1}         # how many slow suites run side by side

passed=0
failed=0
failures=()
declare -A running=() # by pid: when it began, how, its output, its name

# What to run: every suite, or those whose name contains SUITE (of a lab suite, the cases whose name contains CASE).
suites_begin() # BUILD [SUITE[:CASE]]
{
	build=$(realpath "$1")
	filter=${2:-}
	export LAB_BUILD=$build LAB_FILTER="" CMOCKA_MESSAGE_OUTPUT=TAP
	case $filter in
	*:*) LAB_FILTER=${filter#*:} filter=${filter%%:*} ;;
	esac
	outputs=$(mktemp -d)
	trap 'rm -rf "$outputs"' EXIT
	trap 'suites_stop 130' INT
	trap 'suites_stop 143' TERM
}

suites_stop() # STATUS
{
	[ ${#running[@]} -eq 0 ] || { kill "${!running[@]}" && wait "${!running[@]}"; } 2>/dev/null
	exit "$1"
}

# Runs one suite: its output is kept, and shown at once when it is slow (live) or afterwards when it fails. Of slow ones
# SUITES_JOBS run side by side, as most of their time is waiting; then nothing is shown before they have ended. Those that
# are but busy (busy) run in twos.
suite() # quiet|busy|live NAME SECONDS CMD...
{
	local how=$1 name=$2 limit=$3 alone=1 jobs=1 output
	shift 3
	[[ $name == *"$filter"* ]] || return 0
	case $how in
	live) jobs=$SUITES_JOBS ;;
	busy) jobs=$((SUITES_JOBS > 1 ? 2 : 1)) how=quiet ;;
	esac
	if [ "$jobs" -gt 1 ]; then
		while [ ${#running[@]} -ge "$jobs" ]; do suite_reap; done
		how=quiet alone=
	else
		suites_reap_all
	fi
	output=$(mktemp "$outputs/XXXXXX")
	timeout --foreground -k 10 $((limit * SUITES_SLOWNESS)) "$@" >"$output" 2>&1 </dev/null &
	running[$!]="$SECONDS $how $output $name"
	[ -n "$alone" ] || return 0
	if [ "$how" = live ]; then
		printf '%s\n' "$name"
		tail -n +1 -f --pid=$! -s 0.2 "$output" &
		wait $!
	fi
	suites_reap_all
}

suites_reap_all()
{
	while [ ${#running[@]} -gt 0 ]; do
		suite_reap
	done
}

# Waits for one of those that run, and says how it went.
suite_reap()
{
	local pid code begin how output name
	wait -n -p pid "${!running[@]}"
	code=$?
	read -r begin how output name <<<"${running[$pid]}"
	unset "running[$pid]"
	suite_judge "$name" "$how" "$output" $code "$begin"
	rm -f "$output"
}

suite_judge() # NAME HOW OUTPUT STATUS BEGIN
{
	local name=$1 how=$2 output=$3 code=$4 begin=$5 ok not_ok skipped planned
	ok=$(grep -c '^ok ' "$output")
	skipped=$(grep -cE '^(not )?ok [0-9]+ # SKIP' "$output")
	not_ok=$(($(grep -c '^not ok ' "$output") - skipped))
	planned=$(awk -F'\\.\\.' '/^1\.\.[0-9]+$/ { sum += $2 } END { print sum + 0 }' "$output")
	while read -r line; do
		failures+=("$name: $line")
	done < <(sed -n '/# SKIP/d; s/^not ok [0-9]* *-* *//p' "$output")
	if { [ "$code" -ne 0 ] && [ "$not_ok" -eq 0 ]; } || [ $((ok + not_ok + skipped)) -lt "$planned" ] ||
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
			suite busy "bpf/${test##*/}" 120 "$test"
		fi
	done
}

# Scripts, once in each of their modes; and with each of their ways to attach, beside the usual one. A mode may say for
# itself how to attach: dnat/tc.
script_suites() # FOLDER SCRIPT...
{
	local folder=$1 test modes mode attaches attach name
	shift
	for test in "$@"; do
		modes=$(sed -n 's/^# modes: //p' "$test")
		attaches=$(sed -n 's/^# attach: //p' "$test")
		for mode in ${modes:-once}; do
			name=$folder/$(basename "$test" .sh)
			[ "${mode%/*}" = once ] || name+=-${mode%/*}
			case $mode in
			*/*) script_suite "$name" "$test" "${mode%/*}" "${mode#*/}" ;;
			*)
				script_suite "$name" "$test" "$mode" ""
				for attach in $attaches; do
					script_suite "$name" "$test" "$mode" "$attach"
				done
				;;
			esac
		done
	done
}

script_suite() # NAME SCRIPT MODE ATTACH
{
	suite live "$1${4:+ ($4)}" 240 env LAB_ATTACH="$4" bash "$2" "$3"
}

# Says how it went; succeeds when all did.
suites_end()
{
	suites_reap_all
	if [ ${#failures[@]} -gt 0 ]; then
		printf '\nFailures:\n'
		printf '  %s\n' "${failures[@]}"
	fi
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
