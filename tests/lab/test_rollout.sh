#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# Canaries that are judged by their times, their errors and what an evaluator says of their answers: a healthy one is
# promoted step by step; one that is slow, fails or hallucinates is rolled back by itself, and nobody new reaches it then.
# What is claimed is what clients and servers have written down.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

ROLLOUT_PORTS="8000 8001 8002 8003 8004 8005"
ROLLOUT_PORT=([healthy]=8000 [slow]=8001 [failing]=8002 [hallucinating]=8003 [reset]=8004 [kept]=8005)
held=20 # connections that stay

# Equal versions are wrongly rolled back once in a thousand runs at most, and bad ones within one interval all the same.
# Nobody who waits for the candidate's answer meanwhile is reset, so that every request is answered.
seed_case() # NAME STEPS
{
	rollout_service "$1" "${ROLLOUT_PORT[$1]}" "$mode" <<-END
		drain: {on_rollback: keep}
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: $2
		  analysis:
		    interval: 1s
		    min_samples: 5
		    alpha: 0.001
		    metrics:
		      - {name: first-byte-p95, source: dataplane, compare: stable, tolerance: 1.0}
		      - {name: error-rate, source: dataplane, compare: stable, tolerance: 1.25}
		      - {name: hallucination-rate, source: push, compare: stable, tolerance: 2.0}
	END
}

long_lived() # NAME ON_ROLLBACK
{
	rollout_service "$1" "${ROLLOUT_PORT[$1]}" "$mode" <<-END
		drain: {on_rollback: $2, pace: 100%/s, timeout: 8s}
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 50}, {pause: 1h}, {weight: 100}]
		  analysis:
		    interval: 500ms
		    min_samples: 1
		    on_no_data: hold
		    metrics: [{name: error-rate, source: dataplane, compare: stable, tolerance: 1.25}]
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	seed_case healthy '[{weight: 5}, {weight: 25}, {weight: 100}]'
	seed_case slow '[{weight: 5}, {pause: 1h}, {weight: 100}]'
	seed_case failing '[{weight: 5}, {pause: 1h}, {weight: 100}]'
	seed_case hallucinating '[{weight: 5}, {pause: 1h}, {weight: 100}]'
	long_lived reset reset
	long_lived kept keep
}

test_a_healthy_canary_is_promoted_step_by_step()
{
	local steps
	rollout_wait_state healthy Succeeded 30
	rollout_weights_are healthy "blue 0, canary 100"
	steps=$(rollout_steps load healthy 0.05 0.25)
	lab_assert '[step["to"] for step in d][-2:] == ["Promoting", "Succeeded"]' "$steps"
	# As clients met it: of the connections of a step the share that was asked for, within four standard deviations.
	lab_assert 'all(abs(s["candidate"] - s["share"] * s["answered"]) <=
		4 * (s["answered"] * s["share"] * (1 - s["share"])) ** 0.5 + 2 for s in d if s["to"] == "Progressing")' "$steps"
	lab_assert '[s["share"] for s in d if s["answered"] and s["to"] != "Promoting"] == [0.05, 0.25, 1.0]' "$steps"
}

# Whose canary was well until now: it is at 5 %, and judged.
is_well_at_5_percent() # SERVICE
{
	rollout_wait "$1" 'r["step"] == 1 and r["state"] == "Progressing" and r["analysis"]["last"] == "pass"'
	rollout_weights_are "$1" "blue 95, canary 5"
}

# A fault began just after an analysis: so the next one, or else the first that is wholly within it, says that the canary
# fails. From when that is in force nobody new is at the canary.
is_rolled_back() # SERVICE FAULT METRIC [MS-UNTIL-IT-SHOWS]
{
	local result within=$((2 + (${4:-0} + 999) / 1000))
	rollout_wait_state "$1" Failed
	rollout_weights_are "$1" "blue 100, canary 0"
	sleep 0.3
	result=$(rollout_returned load "$1" "$2")
	rollout_tell_returned "$mode, $1" "$result"
	lab_assert 'd["after"]["requests"] > 20 and d["after"]["failed"] == 0 and set(d["after"]["variants"]) == {"blue"}' "$result"
	lab_assert 'd["analyses_since_fault"][-1] == "fail" and len(d["analyses_since_fault"]) <= n' "$result" n="$within"
	lab_assert "[m['name'] for m in d['rollouts'][0]['analyses'][-1]['metrics'] if m['verdict'] == 'fail'] == ['$3']" \
		"$(rollout_history "$1")"
}

test_a_latency_spike_alone_is_rolled_back()
{
	local fault delay_ms
	is_well_at_5_percent slow
	# Far beyond what is tolerated, however slow stable is on a busy machine.
	delay_ms=$(lab_json 'round(max(80, 5000 * next(m["stable"] for m in d["rollout"]["analysis"]["metrics"] if m["name"] == "first-byte-p95")))' \
		"$(rollout_report slow)")
	rollout_after_an_analysis slow
	fault=$(rollout_set canary1 "port=${ROLLOUT_PORT[slow]}&delay_ms=$delay_ms")
	is_rolled_back slow "$fault" first-byte-p95 "$delay_ms"
}

test_an_error_increase_alone_is_rolled_back()
{
	local fault
	is_well_at_5_percent failing
	rollout_after_an_analysis failing
	fault=$(rollout_set canary1 "port=${ROLLOUT_PORT[failing]}&errors=0.7")
	is_rolled_back failing "$fault" error-rate
}

test_an_increase_of_hallucinations_alone_is_rolled_back()
{
	is_well_at_5_percent hallucinating
	rollout_after_an_analysis hallucinating
	lab_signal USR1 evaluator-hallucinating
	lab_wait "the evaluator" lab_event evaluator-hallucinating changed >/dev/null
	is_rolled_back hallucinating "$(lab_json 'd["time"]' "$(lab_event evaluator-hallucinating changed)")" hallucination-rate
}

# How long a person's change takes, beside those above.
test_weights_set_by_hand_are_in_force_when_the_command_returns()
{
	local command after
	lab_headgate weights slow blue=95 canary=5
	sleep 0.3
	command=$(lab_exec splitter "$LAB_SOURCE/traffic.py" timed "$LAB_BUILD/headgate" --socket "$LAB/api.sock" \
		weights slow blue=100 canary=0)
	sleep 0.3
	after=$(rollout_summary load slow --after "$(lab_json 'd["end"]' "$command")")
	lab_tell "$mode, by hand: the command took $(lab_json 'd["ms"]' "$command") ms"
	lab_assert 'd["requests"] > 20 and set(d["variants"]) == {"blue"}' "$after"
}

test_no_request_failed_but_those_of_the_failing_canary()
{
	local service
	rollout_load_stop load >"$LAB/load.end"
	for service in healthy slow failing hallucinating; do
		lab_assert 'd["failed"] == 0 and d["requests"] > 500' "$(rollout_summary load $service)"
	done
}

# --- connections that stay --------------------------------------------------------------------------------------------

# As its server knows it.
streams_at_canary() # SERVICE COUNT
{
	lab_assert "d['alive'] == $2" "$(rollout_server_says canary1 "${ROLLOUT_PORT[$1]}")"
}

test_a_rollback_resets_or_keeps_streams_as_on_rollback_says()
{
	local service result
	# Half of many a second reach the canary, so that milliseconds can be told.
	rollout_load_start dense reset@400 kept@100
	for service in reset kept; do
		rollout_done $service start
		rollout_wait_state $service Progressing
		rollout_hold_start held-$service $service $held
		lab_assert 'set(d["variants"]) == {"blue", "canary"}' "$(lab_event held-$service open)"
	done
	for service in reset kept; do
		rollout_wait $service 'r["step"] == 1 and r["analysis"]["last"] == "pass"'
		rollout_set canary1 "port=${ROLLOUT_PORT[$service]}&errors=0.5" >"$LAB/$service.fault"
	done
	for service in reset kept; do
		rollout_wait_state $service Failed
	done
	rollout_load_stop dense >"$LAB/dense.end"
	lab_wait "no stream at the canary" streams_at_canary reset 0
	streams_at_canary kept "$(lab_json 'd["variants"]["canary"]' "$(lab_event held-kept open)")"
	for service in reset kept; do
		lab_traffic_stop held-$service >"$LAB/$service.end"
	done
	result=$(rollout_returned dense reset "$(cat "$LAB/reset.fault")")
	rollout_tell_returned "$mode, half of 400 a second" "$result"
	lab_assert 'set(d["after"]["variants"]) <= {"blue"}' "$result"
}

# Of who was at the canary when the rollback began.
were_at_canary='[c for c in d["connections"] if c[0]["variant"] == "canary"]'

test_on_rollback_reset_leaves_no_connection_beyond_its_pace()
{
	local begin
	begin=$(rollout_transition_to reset RollingBack)
	lab_assert "all([p['how'] for p in c] == ['reset', 'closed'] and c[1]['variant'] == 'blue' for c in $were_at_canary)" \
		"$(cat "$LAB/reset.end")"
	# Beyond the pace, of 1 s, it takes the daemon's next step and each stream's next token.
	lab_assert "max(c[0]['end'] for c in $were_at_canary) - begin < 1 + 3 * max(p['longest_wait'] for c in kept['connections'] for p in c)" \
		"$(cat "$LAB/reset.end")" begin="$begin" kept="$(cat "$LAB/kept.end")"
	lab_tell "$(lab_json "'$mode, reset at 100%%/s: %d connections, the last one %d ms after the verdict' % (
		len($were_at_canary), (max(c[0]['end'] for c in $were_at_canary) - begin) * 1000)" "$(cat "$LAB/reset.end")" \
		begin="$begin")"
}

test_on_rollback_keep_ends_no_connection()
{
	lab_assert "all([p['how'] for p in c] == ['closed'] for c in d['connections']) and len($were_at_canary) > 0" "$(cat "$LAB/kept.end")"
}

lab_begin
rollout_hosts "$mode"
# Resets go back out of the interface that the packet came in by.
lab_foreign_program switch to-front
lab_foreign_program switch to-back
configuration >"$LAB/headgate.yaml"
rollout_splitter
rollout_load_start load healthy@250 slow@250 failing@250 hallucinating@250
for service in healthy slow failing hallucinating; do
	rollout_done $service start
	rollout_evaluator_start evaluator-$service $service --share blue=0.02 canary=0.01 --then canary=0.5 \
		--trials 40 --every 0.2
done
lab_run_tests "rollout $mode"
