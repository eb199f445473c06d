#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Every strategy, and the people in charge: blue/green with checks before and after its switch, A/B tests and their results,
# a shadow's judgement and what comes behind it, approvals, hooks and notifications.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

ROLLOUT_HOSTS="blue1:11 green1:13 canary1:15"
ROLLOUT_PORTS="8000 8001 8002 8003 8004 8005 8006"
ROLLOUT_PORT=([switched]=8000 [arms]=8001 [winner]=8002 [judged]=8003 [pipeline]=8004 [stopped]=8005 [people]=8006)

analysis="interval: 300ms, min_samples: 5, alpha: 0.001"
error_rate="{name: error-rate, source: dataplane, compare: stable, tolerance: 1.25}"

service() # NAME; its rollout on stdin
{
	rollout_service "$1" "${ROLLOUT_PORT[$1]}" nat
}

blue_green() # WATCH
{
	cat <<-END
		strategy: blue_green
		stable: blue
		candidate: green
		watch: $1
		analysis: {$analysis, metrics: [$error_rate, {name: 5xx, source: dataplane, max: 10%}]}
	END
}

shadow() # SERVICE
{
	echo "shadow: {backends: [\"10.20.0.21:${ROLLOUT_PORT[$1]}\"], sample: 0}"
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service switched <<-END
		health: {check: http, path: /health, interval: 300ms, timeout: 300ms, rise: 1, fall: 2}
		rollout:
		$(blue_green 1s | sed 's/^/  /')
	END
	service arms <<-END
		affinity: client
		rollout:
		  strategy: ab_test
		  arms: {blue: 30, green: 30, canary: 40}
		  duration: 3s
		  analysis: {$analysis, metrics: [{name: error-rate, source: dataplane}]}
	END
	service winner <<-END
		rollout:
		  strategy: ab_test
		  arms: {blue: 50, green: 50}
		  samples: 250
		  promote_winner: true
		  analysis: {$analysis, metrics: [{name: error-rate, source: dataplane}]}
	END
	service judged <<-END
		$(shadow judged)
		rollout:
		  strategy: shadow
		  steps: [{shadow: 50, for: 1s}]
		  analysis: {$analysis, metrics: [{name: 5xx, source: dataplane, compare: stable, tolerance: 1.25}]}
	END
	for pipeline in pipeline stopped; do
		service $pipeline <<-END
			$(shadow $pipeline)
			rollout:
			  strategy: canary
			  stable: blue
			  candidate: canary
			  steps: [{shadow: 100, for: 1s}, {weight: 20}, {weight: 100}]
			  analysis: {$analysis, metrics: [{name: 5xx, source: dataplane, compare: stable, tolerance: 1.25}]}
		END
	done
	service people <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 10}, {pause: approval}, {weight: 100}]
		  hooks:
		    - {when: before, url: "http://127.0.0.1:9300/before", timeout: 1s}
		    - {when: after, url: "http://127.0.0.1:9300/after", timeout: 1s}
		  notify:
		    - {url: "http://127.0.0.1:9300/json", format: json}
		    - {url: "http://127.0.0.1:9300/slack", format: slack}
	END
}

# Of a service's connections that began after a time, all were answered, and by whom.
all_answered_by() # SERVICE AFTER VARIANT...
{
	local service=$1 after=$2 summary
	shift 2
	sleep 0.2
	summary=$(rollout_summary load "$service" --after "$after")
	lab_assert "d['requests'] > 10 and d['failed'] == 0 and set(d['variants']) == set('$*'.split())" "$summary"
}

# --- blue/green -------------------------------------------------------------------------------------------------------

test_blue_green_does_not_switch_to_a_side_that_is_not_healthy()
{
	local begin
	rollout_set green1 "port=8000&health=503"
	lab_wait "green to be down" green_is down
	begin=$(rollout_now)
	# With a watch that ends by what is found in it.
	rollout_done switched start plan="$(rollout_json_string "$(blue_green 10m)")"
	sleep 1
	rollout_is switched 'r["steps"][r["step"]]["kind"] == "healthy" and "health" in r["waits_for"]'
	rollout_weights_are switched "blue 100, green 0, canary 0"
	all_answered_by switched "$begin" blue
}

# Nobody would be there to take the traffic.
test_blue_green_does_not_switch_to_a_side_that_is_drained()
{
	lab_api PUT /v1/services/switched/backends '{"variant": "green", "drained": true}' >"$LAB/answer"
	rollout_wait switched '"drained" in r["waits_for"]'
	rollout_set green1 "port=8000&health=200"
	lab_wait "green to be up" green_is up
	sleep 1
	rollout_is switched 'r["steps"][r["step"]]["kind"] == "healthy" and "drained" in r["waits_for"]'
	rollout_weights_are switched "blue 100, green 0, canary 0"
	lab_api PUT /v1/services/switched/backends '{"variant": "green", "drained": false}' >"$LAB/answer"
}

green_is() # up|down
{
	lab_assert "d['variants'][1]['backends'][0]['health'] == '$1'" "$(lab_api GET /v1/services/switched)"
}

test_blue_green_switches_all_at_once_when_it_is_healthy_and_back_when_it_fails()
{
	local fault result
	rollout_wait switched 'r["steps"][r["step"]]["kind"] == "watch" and r["analysis"]["last"] == "pass"'
	rollout_weights_are switched "blue 0, green 100, canary 0"
	all_answered_by switched "$(rollout_now)" green
	fault=$(rollout_set green1 "port=8000&errors=0.9")
	rollout_wait_state switched Failed
	rollout_weights_are switched "blue 100, green 0, canary 0"
	rollout_set green1 "port=8000&errors=0"
	sleep 0.2
	result=$(rollout_returned load switched "$fault" --candidate green)
	rollout_tell_returned "switched back" "$result"
	lab_assert 'd["after"]["requests"] > 10 and set(d["after"]["variants"]) == {"blue"}' "$result"
}

test_blue_and_green_have_swapped_roles_for_the_next_release()
{
	rollout_done switched start
	rollout_wait_state switched Succeeded
	rollout_weights_are switched "blue 0, green 100, canary 0"
	rollout_is switched 'r["stable"] == "blue" and r["candidate"] == "green"'
	# One that fails undoes nothing.
	mkdir "$LAB/state.json.new"
	lab_assert '"nothing was changed" in d["error"]' "$(rollout_do switched undo)"
	rmdir "$LAB/state.json.new"
	rollout_weights_are switched "blue 0, green 100, canary 0"
	rollout_done switched start
	rollout_is switched 'r["stable"] == "green" and r["candidate"] == "blue"'
	rollout_done switched abort
	rollout_wait_state switched Aborted
	rollout_weights_are switched "blue 0, green 100, canary 0"
}

# --- A/B --------------------------------------------------------------------------------------------------------------

# Blue and canary fail three times in ten, green never.
test_an_ab_test_gives_every_client_one_arm_in_the_shares_that_were_asked_for()
{
	local begin
	rollout_done arms start
	rollout_done winner start
	rollout_wait arms 'r["steps"][r["step"]]["kind"] == "arms" and r["state"] == "Progressing"'
	sleep 0.1
	begin=$(rollout_now)
	rollout_wait_state arms Succeeded
	arms=$("$rollout_client" clients --log "$LAB/visitors.connections" --service arms --after "$begin" \
		--before "$(rollout_transition_to arms Promoting)")
	# Shares of clients, within four standard deviations.
	lab_assert 'd["clients"] > 150 and d["of_two_minds"] == 0 and all(
		abs(d["variants"][name] - share * d["clients"]) <= 4 * (share * (1 - share) * d["clients"]) ** 0.5
		for name, share in {"blue": 0.3, "green": 0.3, "canary": 0.4}.items())' "$arms"
}

test_an_ab_tests_result_has_intervals_and_no_winner_is_applied_unasked()
{
	local result
	rollout_weights_are arms "blue 100, green 0, canary 0"
	result=$(lab_json 'json.dumps(d["rollout"]["result"])' "$(rollout_report arms)")
	lab_assert '[arm["variant"] for arm in d["metrics"][0]["arms"]] == ["blue", "green", "canary"]' "$result"
	lab_assert 'all(0 <= arm["low"] <= arm["value"] <= arm["high"] <= 1 for arm in d["metrics"][0]["arms"])' "$result"
	lab_assert '[arm["verdict"] for arm in d["metrics"][0]["arms"]][1:] == ["pass", "inconclusive"]' "$result"
	lab_assert 'd["metrics"][0]["arms"][1]["difference_high"] < 0' "$result"
}

test_promote_winner_applies_the_arm_that_is_proven_to_be_better()
{
	rollout_wait_state winner Succeeded
	rollout_is winner 'r["result"]["winner"] == "green"'
	rollout_weights_are winner "blue 0, green 100, canary 0"
	all_answered_by winner "$(rollout_now)" green
}

# --- shadows ----------------------------------------------------------------------------------------------------------

shadow_requests() # SERVICE
{
	lab_json 'd["requests"]' "$(rollout_server_says shadow1 "${ROLLOUT_PORT[$1]}")"
}

test_a_shadow_is_judged_without_anyone_hearing_of_it()
{
	local begin
	begin=$(rollout_now)
	rollout_done judged start
	rollout_done pipeline start
	rollout_set shadow1 "port=${ROLLOUT_PORT[stopped]}&errors=0.9"
	rollout_done stopped start
	rollout_wait_state judged Succeeded
	lab_assert 'd["state"] == "off" or d["sample"] == 0' "$(lab_api GET /v1/services/judged/shadow)"
	[ "$(shadow_requests judged)" -ge 10 ] || lab_fail "the shadow got $(shadow_requests judged) requests"
	all_answered_by judged "$begin" blue
	lab_assert "any(a['verdict'] == 'pass' and a['metrics'][0]['candidate_samples'] > 0 for a in d['rollouts'][0]['analyses'])" \
		"$(rollout_history judged)"
}

test_a_pipeline_goes_from_shadow_to_canary_to_all()
{
	rollout_wait_state pipeline Succeeded
	[ "$(shadow_requests pipeline)" -ge 20 ] || lab_fail "the shadow got $(shadow_requests pipeline) requests"
	lab_assert '[(s["share"], s["candidate"] > 0) for s in d if s["answered"] and s["to"] != "Promoting"] ==
		[(0, False), (0.2, True), (1, True)]' "$(rollout_steps load pipeline 0 0.2)"
	rollout_weights_are pipeline "blue 0, green 0, canary 100"
}

test_a_shadow_that_fails_stops_a_pipeline_before_anyone_meets_the_canary()
{
	rollout_wait_state stopped Failed
	rollout_weights_are stopped "blue 100, green 0, canary 0"
	lab_assert 'set(d["variants"]) == {"blue"} and d["failed"] == 0' "$(rollout_summary load stopped)"
	lab_assert 'd["state"] == "off" or d["sample"] == 0' "$(lab_api GET /v1/services/stopped/shadow)"
}

# --- people -----------------------------------------------------------------------------------------------------------

test_hooks_hold_a_step_and_let_it_go()
{
	local begin
	begin=$(rollout_now)
	rollout_receiver_answers '{"/before": {"status": 409, "body": {"reason": "it is Friday"}}}'
	rollout_done people start
	lab_wait "a hook to be asked" test -s "$LAB/receiver.truth"
	rollout_wait people '"hook" in r["waits_for"]'
	sleep 0.5
	rollout_is people 'r["state"] == "Initialized" or r["phase"] == "before"'
	rollout_weights_are people "blue 100, green 0, canary 0"
	all_answered_by people "$begin" blue
	rollout_receiver_answers '{"/after": {"body": {"hold": true}}}'
	rollout_wait people 'r["phase"] == "after" and "hook" in r["waits_for"]'
	rollout_weights_are people "blue 90, green 0, canary 10"
	rollout_receiver_answers '{}'
	rollout_wait_state people WaitingApproval
	lab_assert 'd[0]["body"]["service"] == "people" and d[0]["body"]["phase"] == "before" and d[0]["body"]["rollout"] > 0' \
		"$(rollout_received /before)"
}

test_an_approval_is_waited_for_and_audited()
{
	rollout_is people '"approval" in r["waits_for"]'
	lab_assert '"error" in d' "$(lab_api PUT /v1/services/people/weights '{"weights": {"blue": 50, "canary": 50}}')"
	rollout_weights_are people "blue 90, green 0, canary 10"
	lab_headgate rollout approve people
	rollout_wait_state people Succeeded
	rollout_weights_are people "blue 0, green 0, canary 100"
	lab_assert 'any("approve" in a["what"] and "uid 0" in a["by"] and not a["error"] for a in d["rollouts"][0]["audit"])' \
		"$(rollout_history people)"
}

# By now everybody has been told of the last one.
told_of_all() # COUNT
{
	lab_assert "len(d) == $1" "$(rollout_received /json)"
	lab_assert "len(d) == $1" "$(rollout_received /slack)"
}

test_everyone_is_told_of_every_transition()
{
	local history
	history=$(rollout_history people)
	lab_wait "the notifications" told_of_all "$(lab_json 'len(d["rollouts"][0]["transitions"])' "$history")"
	# They are sent side by side, so they may come in another order.
	lab_assert 'sorted([l["body"]["from"], l["body"]["to"]] for l in d) == sorted([t["from"], t["to"]] for t in h["rollouts"][0]["transitions"])' \
		"$(rollout_received /json)" h="$history"
	lab_assert 'all(list(l["body"]) == ["text"] and "people" in l["body"]["text"] for l in d)' "$(rollout_received /slack)"
}

test_undo_gives_back_the_weights_of_before()
{
	lab_headgate rollout undo people
	lab_wait "the weights of before" rollout_weights_are people "blue 100, green 0, canary 0"
	all_answered_by people "$(rollout_now)" blue
}

test_no_request_failed_but_by_a_servers_own_error()
{
	rollout_load_stop load >"$LAB/load.end"
	rollout_load_stop visitors >"$LAB/visitors.end"
	lab_assert 'd["failed"] == 0' "$(cat "$LAB/load.end")"
	lab_assert 'd["failed"] == 0' "$(cat "$LAB/visitors.end")"
}

lab_begin
rollout_hosts nat
lab_host shadow1 back 10.20.0.21 fd00:20::21
rollout_serve shadow1
rollout_receiver_start
# Clients of many addresses: all of 10.11.0.0/24 is this host.
lab_exec client ip route add local 10.11.0.0/24 dev lo
ip -n "$LAB_NAME-splitter" route add 10.11.0.0/24 via 10.10.0.2
configuration >"$LAB/headgate.yaml"
rollout_splitter
for host in blue1 canary1; do
	for port in 8001 8002; do
		rollout_set $host "port=$port&errors=0.3" >"$LAB/set"
	done
done
rollout_load_start load switched@150 winner@200 judged@100 pipeline@100 stopped@100 people@50
ROLLOUT_SOURCES=$(printf '10.11.0.%d ' {1..254})
rollout_load_start visitors arms@250
lab_run_tests "rollout strategies"
