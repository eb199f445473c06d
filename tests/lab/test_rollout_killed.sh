#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# headgated is killed (kill -9) at every transition of a rollout, and at every write to its journal: what comes of the
# rollout is the same as without, and clients hear nothing of it.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

ROLLOUT_PORTS="8000 8001 8002"
ROLLOUT_PORT=([promoted]=8000 [returned]=8001 [held]=8002)

# What an evaluator says of the canary decides, and nothing else: so each goes the same way every time.
service() # NAME STEPS
{
	rollout_service "$1" "${ROLLOUT_PORT[$1]}" nat <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: $2
		  analysis:
		    interval: 100ms
		    min_samples: 1
		    metrics: [{name: cost, source: push, kind: value, max: 1.0}]
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service promoted '[{weight: 5}, {pause: 200ms}, {weight: 100}]'
	service returned '[{weight: 5}, {pause: approval}, {weight: 100}]'
	rollout_service held "${ROLLOUT_PORT[held]}" nat <<-END
		drain: {on_rollback: reset, on_change: keep, pace: 100%/s}
		rollout: {strategy: canary, stable: blue, candidate: canary, steps: [{weight: 50}, {pause: approval}, {weight: 100}]}
	END
}

over='r["state"] in ("Succeeded", "Failed", "Aborted")'

newest() # SERVICE
{
	lab_json 'd["rollout"]["id"] if d["rollout"] else 0' "$(rollout_report "$1")"
}

# Once it waits for approval, and whoever of the daemons is there to say so, the evaluator changes its mind.
turn_bad()
{
	rollout_wait_state returned WaitingApproval
	lab_signal USR1 evaluator-returned
}

# Starts a rollout; the daemon may be killed meanwhile.
begin() # SERVICE
{
	lab_signal USR2 "evaluator-$1"
	# What was said before is not of this rollout: an interval's worth of it may still come.
	rollout_do "$1" start >"$LAB/$1.started" 2>&1 || true
	[ "$1" != returned ] || turn_bad >"$LAB/turn" 2>&1 &
}

# Where a rollout has been, and what is in force.
outcome() # SERVICE
{
	rollout_path "$1"
	rollout_weights "$1"
}

# As it was before the rollout.
again() # SERVICE
{
	[ "$1" != promoted ] || rollout_done promoted undo
	lab_wait "the weights of before" rollout_weights_are "$1" "blue 100, canary 0"
}

test_without_being_killed()
{
	local service
	for service in promoted returned; do
		begin $service
		rollout_wait $service "$over"
		outcome $service >"$LAB/$service.outcome"
		lab_json 'len(d["rollouts"][0]["transitions"])' "$(rollout_history $service)" >"$LAB/$service.transitions"
		lab_tell "$service: $(paste -sd'|' "$LAB/$service.outcome")"
		again $service
	done
	grep -q 'Succeeded' "$LAB/promoted.outcome" && grep -q 'canary 100' "$LAB/promoted.outcome"
	grep -q 'Failed' "$LAB/returned.outcome" && grep -q 'canary 0' "$LAB/returned.outcome"
}

killed_at() # SERVICE TRANSITION WAIT-MS
{
	local service=$1 before
	before=$(newest "$service")
	lab_start splitter killer "$LAB_SOURCE/rollout_killer.py" --journal "$LAB/rollouts.db" --service "$service" \
		--after "$before" --transition "$2" --wait-ms "$3" --pid "$(lab_pid headgated)"
	lab_wait "the killer" lab_event killer open >/dev/null
	begin "$service"
	lab_wait "the kill" lab_event killer end >/dev/null
	lab_wait "the daemon to be dead" lab_ended headgated
	rollout_splitter
	rollout_wait "$service" "$over and r['id'] > $before"
	outcome "$service" >"$LAB/$service.now"
	diff "$LAB/$service.outcome" "$LAB/$service.now" || lab_fail "$service, killed $3 ms after transition $2"
	again "$service"
}

# At once after it was written is before it is in force; a few milliseconds later it is. Both of each: LAB_LARGE.
test_kill_9_at_every_transition_of_a_rollout_changes_nothing()
{
	local service transition wait kills=0
	for service in promoted returned; do
		for ((transition = 1; transition <= $(cat "$LAB/$service.transitions"); transition++)); do
			for wait in 0 5; do
				[ -n "${LAB_LARGE:-}" ] || [ $((transition % 2)) -eq $((wait % 2)) ] || continue
				killed_at $service $transition $wait
				kills=$((kills + 1))
			done
		done
	done
	lab_tell "$kills kills, each after a transition was written"
}

# The daemon dies where it was about to write to its journal for the Nth time, and so does the next one, with a higher N:
# in the middle of whatever it was about to write down.
killed_while_writing() # SERVICE
{
	local count=1 kills=0 step=${LAB_LARGE:+3} before
	step=${step:-61}
	before=$(newest "$1")
	until is_begun "$1" "$before" && rollout_is "$1" "$over" 2>"$LAB/not-over"; do
		[ $count -lt 1000 ] || lab_fail "no end in sight"
		lab_start splitter strace strace -f -qq -e trace=pwrite64 -P "$LAB/rollouts.db-wal" -o "$LAB/strace" \
			-e inject=pwrite64:signal=SIGKILL:when=$count -p "$(lab_pid headgated)"
		lab_wait "strace" is_traced
		is_begun "$1" "$before" || begin "$1"
		lab_wait "a death, or the end" dead_or_over "$1" "$before"
		lab_ended headgated || break
		kills=$((kills + 1)) count=$((count + step))
		rollout_splitter
	done
	lab_stop strace
	[ $kills -gt 1 ]
	lab_tell "$1: $kills kills while writing"
}

is_traced()
{
	! grep -q '^TracerPid:.*\<0$' "/proc/$(lab_pid headgated)/status"
}

is_begun() # SERVICE BEFORE
{
	local now
	now=$(newest "$1" 2>/dev/null) && [ "$now" != "$2" ]
}

dead_or_over() # SERVICE BEFORE
{
	lab_ended headgated || { is_begun "$1" "$2" && rollout_is "$1" "$over"; }
}

test_kill_9_at_any_write_to_the_journal_changes_nothing()
{
	killed_while_writing promoted
	outcome promoted >"$LAB/promoted.now"
	diff "$LAB/promoted.outcome" "$LAB/promoted.now"
}

held_at_canary() # COUNT
{
	lab_assert "d['alive'] == $1" "$(rollout_server_says canary1 "${ROLLOUT_PORT[held]}")"
}

# What the journal has of a daemon that was killed before what it had decided was in force.
killed_before_it_went_back()
{
	rollout_done held start
	rollout_wait_state held WaitingApproval
	rollout_hold_start streams held 40
	held_at_canary "$(lab_json 'd["variants"]["canary"]' "$(lab_event streams open)")"
	lab_stop headgated KILL
	sqlite3 "$LAB/rollouts.db" "UPDATE rollouts SET rollout = json_set(rollout, '\$.state', 'RollingBack')
		WHERE service = 'held'"
}

# Whoever was at the canary was reset, as on_rollback says.
goes_back()
{
	rollout_splitter
	rollout_wait_state held Failed
	rollout_weights_are held "blue 100, canary 0"
	lab_wait "no stream at the canary" held_at_canary 0
	lab_traffic_stop streams >"$LAB/streams.end"
}

test_a_rollback_that_was_only_written_down_is_carried_out_as_a_rollback()
{
	killed_before_it_went_back
	goes_back
}

# The state file's weights, which were the step's, do not hold any more.
test_a_rollback_that_was_only_written_down_is_one_with_other_weights_in_the_file_too()
{
	killed_before_it_went_back
	sed -i '/^  held:/,$s/blue: {weight: 100/blue: {weight: 50/' "$LAB/headgate.yaml"
	goes_back
	grep -q 'are dropped: the file said' "$LAB/headgated.err" || lab_fail "the state file's weights still held"
}

test_no_client_heard_of_it()
{
	rollout_load_stop load >"$LAB/load.end"
	lab_assert 'd["failed"] == 0 and d["answered"] > 100' "$(cat "$LAB/load.end")"
}

lab_begin
rollout_hosts nat
configuration >"$LAB/headgate.yaml"
rollout_splitter
rollout_load_start load promoted@50 returned@50
for service in promoted returned; do
	rollout_evaluator_start evaluator-$service $service --metric cost --value --every 0.03 --share blue=0.5 canary=0.5 \
		--then canary=2
done
lab_run_tests "rollout killed"
