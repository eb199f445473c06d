#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How the daemon conducts rollouts: commands, what is refused meanwhile, restarts and reloads, pushed metrics, undo.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

LAB_PORTS="8000 8001 8002 8003"
target=(--url-host 10.0.0.10 --port 8000)

# One service more, from blue to canary.
service() # NAME PORT; its rollout on stdin
{
	cat <<-END
		  $1:
		    address: 10.0.0.10
		    port: $2
		    forward: nat
		    variants:
		      blue:   {weight: 100, backends: ["10.20.0.11:$2"]}
		      canary: {weight: 0, backends: ["10.20.0.15:$2"]}
		    rollout:
		      strategy: canary
		      stable: blue
		      candidate: canary
	END
	sed 's/^/      /'
}

configuration()
{
	printf 'interfaces: [front, back]\nservices:\n'
	service judged 8000 <<-END
		steps: [{weight: 10}, {pause: 1h}, {weight: 100}]
		analysis:
		  interval: 200ms
		  min_samples: 1
		  metrics: [{name: failed-handshakes, source: dataplane, max: 20%}]
	END
	service people 8001 <<-END
		steps: [{weight: 10}, {pause: approval}, {weight: 50}, {pause: approval}, {weight: 100}]
	END
	service pushed 8002 <<-END
		steps: [{weight: 10}, {weight: 100}]
		analysis:
		  interval: ${1:-300ms}
		  min_samples: 10
		  metrics: [{name: wrong-answers, source: push, max: 50%}]
	END
}

rollout() # SERVICE ACTION [MORE-JSON]
{
	lab_api POST "/v1/services/$1/rollout" "{\"action\": \"$2\"${3:+, $3}}"
}

# The rollout (r) as the daemon reports it.
is() # SERVICE EXPRESSION [NAME=JSON...]
{
	lab_assert "(lambda r: $2)(d['rollout'])" "$(lab_api GET "/v1/services/$1/rollout")" "${@:3}"
}

becomes() # SERVICE EXPRESSION
{
	lab_wait "$1: $2" is "$@"
}

weights_are() # SERVICE BLUE CANARY
{
	lab_assert "[v['weight'] for v in d['variants']] == [$2, $3]" "$(lab_api GET "/v1/services/$1")"
}

# Prints the answer; fails unless the status is the one.
refused() # STATUS METHOD PATH BODY
{
	local answer
	answer=$(LAB_CODE=1 lab_api "${@:2}")
	[ "$(tail -n 1 <<<"$answer")" = "$1" ] || lab_fail "not refused with $1:" "$answer"
	echo "$answer"
}

restart() # SIGNAL
{
	lab_stop headgated "$1"
	lab_splitter "$LAB/headgate.yaml"
}

test_a_service_that_had_no_rollout_says_so()
{
	lab_assert 'd == {"service": "judged", "rollout": None}' "$(lab_api GET /v1/services/judged/rollout)"
	lab_assert 'd == {"rollouts": []}' "$(lab_api GET /v1/rollouts)"
	refused 404 POST /v1/services/judged/rollout '{"action": "pause"}'
	refused 404 POST /v1/services/judged/rollout '{"action": "retry"}'
	refused 400 POST /v1/services/judged/rollout '{"action": "dance"}'
}

test_a_candidate_that_fails_is_rolled_back_by_what_the_data_path_saw()
{
	rollout judged start >"$LAB/answer"
	becomes judged 'r["step"] == 1 and r["analysis"]["last"] == "pass"'
	weights_are judged 90 10
	is judged '[s["state"] for s in r["steps"]] == ["done", "current"] and r["share"]["asked"] == 10
		and 9.9 < r["share"]["slots"] < 10.1 and r["share"]["opened"] > 0 and r["analysis"]["ratio"]["checked"]'
	lab_stop nginx-canary1
	becomes judged 'r["state"] == "Failed"'
	weights_are judged 100 0
	is judged 'r["analysis"]["metrics"][0]["verdict"] == "fail" and "failed-handshakes" in r["cause"] and r["ended"] is not None'
	lab_nginx canary1 canary
}

test_a_rollout_that_failed_is_tried_again()
{
	rollout judged retry >"$LAB/answer"
	becomes judged 'r["step"] == 1 and r["id"] == 2 and r["analysis"]["last"] == "pass"'
	refused 409 POST /v1/services/judged/rollout '{"action": "start"}'
	rollout judged abort >"$LAB/answer"
	is judged 'r["state"] == "Aborted"'
	weights_are judged 100 0
}

test_people_approve_and_undo()
{
	rollout people start >"$LAB/answer"
	becomes people 'r["state"] == "WaitingApproval" and r["step"] == 1'
	weights_are people 90 10
	refused 409 PUT /v1/services/people/weights '{"weights": {"blue": 50, "canary": 50}}' | grep -q 'rollout abort people'
	refused 409 POST /v1/services/people/switch '{"to": "canary"}'
	refused 400 POST /v1/services/people/rollout '{"action": "resume"}'
	rollout people approve >"$LAB/answer"
	becomes people 'r["state"] == "WaitingApproval" and r["step"] == 3'
	weights_are people 50 50
	rollout people promote '"full": true' >"$LAB/answer"
	is people 'r["state"] == "Succeeded"'
	weights_are people 0 100
	rollout people undo >"$LAB/answer"
	weights_are people 100 0
	refused 409 POST /v1/services/people/rollout '{"action": "undo"}'
	lab_assert '[(a["what"], a["by"], a["error"] is None) for a in d["rollouts"][0]["audit"]] == [("start", "uid 0", True),
		("resume", "uid 0", False), ("approve", "uid 0", True), ("promote --full", "uid 0", True), ("undo", "uid 0", True),
		("undo", "uid 0", False)]' "$(lab_api GET "/v1/services/people/rollout/history?limit=1")"
}

test_roles_are_swapped_after_a_promotion()
{
	rollout people start >"$LAB/answer"
	rollout people promote '"full": true' >"$LAB/answer"
	weights_are people 0 100
	rollout people start >"$LAB/answer"
	is people 'r["stable"] == "canary" and r["candidate"] == "blue"'
	rollout people abort >"$LAB/answer"
	restart TERM
	weights_are people 0 100
	is people 'r["state"] == "Aborted"'
	rollout people start >"$LAB/answer"
	is people 'r["stable"] == "canary" and r["candidate"] == "blue"'
	rollout people promote '"full": true' >"$LAB/answer"
	weights_are people 100 0
}

test_a_new_daemon_goes_on_with_the_step_and_its_clock()
{
	local signal
	for signal in KILL TERM; do
		rollout judged start >"$LAB/answer"
		becomes judged 'r["step"] == 1 and r["step_ran_s"] > 1.5'
		restart $signal
		weights_are judged 90 10
		is judged 'r["step"] == 1 and 0.4 < r["step_ran_s"] < 5 and r["by"] == "uid 0" and r["began"] is not None'
		becomes judged 'r["analysis"]["last"] == "pass"'
		rollout judged abort >"$LAB/answer"
		weights_are judged 100 0
	done
}

test_a_reload_keeps_what_a_rollout_has_set_and_takes_nothing_from_it()
{
	local before
	rollout people start >"$LAB/answer"
	becomes people 'r["state"] == "WaitingApproval"'
	before=$(lab_api GET /v1/services/people/rollout)
	configuration | sed 's/weight: 100, backends: \["10.20.0.11:8001/weight: 70, backends: ["10.20.0.11:8001/' >"$LAB/headgate.yaml"
	lab_headgate reload
	weights_are people 90 10
	configuration | sed '/people:/,/pushed:/s/canary: {weight: 0, backends.*/other: {weight: 0, backends: []}/; /people:/,/pushed:/s/candidate: canary/candidate: blue/; /people:/,/pushed:/s/stable: blue/stable: other/' \
		>"$LAB/headgate.yaml"
	! lab_headgate reload 2>"$LAB/refused" || lab_fail "accepted"
	weights_are people 90 10
	configuration >"$LAB/headgate.yaml"
	lab_headgate reload
	is people 'r["id"] == before["rollout"]["id"] and r["step"] == 1' before="$before"
	rollout people rollback >"$LAB/answer"
	is people 'r["state"] == "Failed"'
	weights_are people 100 0
}

push() # VARIANT EVENTS TRIALS
{
	lab_api POST /v1/services/pushed/rollout/metrics \
		"{\"metric\": \"wrong-answers\", \"variant\": \"$1\", \"events\": $2, \"trials\": $3}"
}

test_what_an_evaluator_pushes_is_kept_over_a_kill()
{
	local body='{"metric": "wrong-answers", "variant": "canary", "events": 1, "trials": 2}'
	refused 404 POST /v1/services/pushed/rollout/metrics "$body"
	configuration 3s >"$LAB/headgate.yaml"
	lab_headgate reload
	rollout pushed start >"$LAB/answer"
	becomes pushed 'r["analysis"]["next_in_s"] is not None'
	lab_assert 'd == {"accepted": 20}' "$(push canary 1 20)"
	refused 404 POST /v1/services/pushed/rollout/metrics "${body/wrong-answers/no-such}"
	refused 404 POST /v1/services/pushed/rollout/metrics "${body/canary/green}"
	refused 400 POST /v1/services/pushed/rollout/metrics "${body/\"events\": 1/\"events\": 3}"
	restart KILL
	becomes pushed 'r["state"] == "Succeeded" and r["analysis"]["metrics"][0]["candidate_samples"] == 20'
	weights_are pushed 0 100
	rollout pushed undo >"$LAB/answer"
}

push_value() # SERVICE METRIC VARIANT VALUE
{
	lab_api POST "/v1/services/$1/rollout/metrics" "{\"metric\": \"$2\", \"variant\": \"$3\", \"value\": $4}"
}

plan() # TEXT
{
	/usr/bin/python3 -c 'import json, sys; print("\"plan\": " + json.dumps(sys.argv[1]))' "$1"
}

test_what_a_failure_froze_is_not_what_the_next_rollout_goes_back_to()
{
	rollout people start "$(plan "{strategy: canary, stable: blue, candidate: canary, on_failure: freeze,
		steps: [{weight: 10}, {weight: 100}], analysis: {interval: 200ms,
		metrics: [{name: cost, source: push, kind: value, max: 1}]}}")" >"$LAB/answer"
	becomes people 'r["step"] == 0 and r["state"] == "Progressing"'
	lab_wait "the interval's cost" push_value people cost canary 2
	becomes people 'r["state"] == "Failed"'
	weights_are people 90 10
	rollout people retry >"$LAB/answer"
	becomes people 'r["state"] == "Progressing"'
	rollout people abort >"$LAB/answer"
	weights_are people 100 0
}

pushes_until() # SERVICE EXPRESSION
{
	push_value "$1" cost blue 1 >"$LAB/answer"
	push_value "$1" cost canary 1 >"$LAB/answer"
	is "$1" "$2"
}

# Values are compared with one of before, and metrics that are only shown keep nobody waiting.
test_a_switch_waits_for_values_of_stable_that_are_obeyed()
{
	rollout people start "$(plan "{strategy: blue_green, stable: blue, candidate: canary, watch: 500ms,
		analysis: {interval: 200ms, min_samples: 1, metrics: [
		{name: cost, source: push, kind: value, compare: stable, tolerance: 0.5},
		{name: shown, source: push, kind: counts, compare: stable, tolerance: 2.0, dry_run: true}]}}")" >"$LAB/answer"
	is people 'r["state"] == "Progressing" and r["step"] == 0 and "cost has 0 of 1" in r["waits_for"]'
	weights_are people 100 0
	lab_wait "the end" pushes_until people 'r["state"] == "Succeeded"'
	rollout people undo >"$LAB/answer"
	weights_are people 100 0
}

test_a_rollout_that_the_configuration_has_no_variant_for_any_more_is_over_at_the_next_start()
{
	rollout people start >"$LAB/answer"
	becomes people 'r["state"] == "WaitingApproval"'
	lab_stop headgated
	configuration | sed '/people:/,/pushed:/{/canary: {weight/d; /rollout:/,/steps:/d}' >"$LAB/headgate.yaml"
	lab_splitter "$LAB/headgate.yaml"
	is people 'r["state"] == "Failed" and "canary" in r["cause"]'
	lab_assert "[v['weight'] for v in d['variants']] == [100]" "$(lab_api GET /v1/services/people)"
}

# Weights of the rollout's are in the state file; what it lacks are no weights.
test_a_rollout_that_lacks_something_at_the_next_start_goes_back()
{
	configuration >"$LAB/headgate.yaml"
	service copied 8003 >>"$LAB/headgate.yaml" <<-END
		steps: [{shadow: 1, for: 100ms}, {weight: 50}, {pause: approval}, {weight: 100}]
	END
	sed -i '/^  copied:/a\    shadow: {backends: ["10.20.0.99:8000"], sample: 1}' "$LAB/headgate.yaml"
	lab_headgate reload
	rollout copied start >"$LAB/answer"
	becomes copied 'r["state"] == "WaitingApproval"'
	weights_are copied 50 50
	lab_stop headgated
	sed -i '/^    shadow:/d; s/{shadow: 1, for: 100ms}, //' "$LAB/headgate.yaml"
	lab_splitter "$LAB/headgate.yaml"
	is copied 'r["state"] == "Failed" and "shadow" in r["cause"] and r["ended"] is not None'
	weights_are copied 100 0
	rollout copied retry | grep -q "shadow"
}

lab_begin
lab_standard nat
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_traffic_start client load continuous "${target[@]}" --rate 200
lab_run_tests "rollout daemon"
