#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a rollout is judged by is not there, answers nonsense or never, or is not to be trusted: what is configured for that
# happens, and never a promotion. And plans with mistakes.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

prometheus=http://127.0.0.1:9090
receiver=http://127.0.0.1:9300
port=8000

# One more service, whose canary is judged at 10 % by one metric, every 300 ms.
service() # NAME METRIC [POLICIES [MORE-OF-THE-ROLLOUT]]
{
	ROLLOUT_PORT[$1]=$port
	rollout_service "$1" $port nat <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 10}, {weight: 100}]
		  analysis:
		    interval: 300ms
		    min_samples: ${min_samples:-1}
		    ${3:-on_no_data: hold}
		    metrics: [$2]
		  ${4:-}
	END
	port=$((port + 1))
}

asks() # QUERY
{
	echo "{name: answer-seconds, source: prometheus, url: \"$prometheus\", query: '$1', timeout: 300ms, max: 1.0}"
}

configuration()
{
	local policy errors="{name: error-rate, source: dataplane, max: 5%}"
	lab_interfaces front back
	printf 'services:\n'
	for policy in hold pause rollback; do
		service "silent-$policy" "$errors" "on_no_data: $policy"
		service "nan-$policy" "$(asks 'zero_seconds{variant="{{variant}}"} / zero_seconds')" "on_no_data: $policy"
		service "down-$policy" "$(asks 'good_seconds{variant="{{variant}}"}')" "on_provider_error: $policy"
		min_samples=100 service "few-$policy" "{name: wrong-answers, source: push, max: 50%}" "on_inconclusive: $policy"
	done
	service good "$(asks 'good_seconds{variant="{{variant}}"}')"
	service bad "$(asks 'bad_seconds{variant="{{variant}}"}')"
	service empty "$(asks 'no_such_thing{variant="{{variant}}"}')"
	service hanging "{name: value, source: webhook, url: \"$receiver/hang?v={{variant}}\", timeout: 300ms, max: 1.0}"
	service barred "$errors" "" "hooks: [{when: before, url: \"$receiver/hang\", timeout: 300ms}]"
	min_samples=10 service hourly "$errors"
	ROLLOUT_PORT[unread]=$port
	rollout_service unread $port nat <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 50}, {pause: 2s}, {pause: approval}]
		  analysis: {interval: 300ms, min_samples: 1, metrics: [$errors]}
	END
	port=$((port + 1))
	ROLLOUT_PORT[biased]=$port
	rollout_service biased $port nat <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 50}, {weight: 100}]
		  analysis: {interval: 300ms, min_samples: 400, metrics: [$errors]}
	END
}

# That a rollout began, and has not gone beyond its first step, though so many analyses were made.
is_held() # SERVICE VERDICT
{
	rollout_wait "$1" "r['analysis']['made'] >= 3 and r['analysis']['last'] == '$2'"
	rollout_is "$1" 'r["state"] == "Progressing" and r["step"] == 0'
	rollout_weights_are "$1" "blue 90, canary 10"
}

is_paused() # SERVICE
{
	rollout_wait_state "$1" Paused
	rollout_weights_are "$1" "blue 90, canary 10"
}

is_back() # SERVICE
{
	rollout_wait_state "$1" Failed
	rollout_weights_are "$1" "blue 100, canary 0"
}

# Each of three services does what it is to do.
obeys() # KIND VERDICT
{
	is_held "$1-hold" "$2"
	is_paused "$1-pause"
	is_back "$1-rollback"
}

start_all() # KIND
{
	local policy
	for policy in hold pause rollback; do
		rollout_done "$1-$policy" start
	done
}

# --- no traffic, little traffic ---------------------------------------------------------------------------------------

test_without_traffic_it_is_held_paused_or_rolled_back()
{
	start_all silent
	obeys silent no_data
}

test_too_little_is_inconclusive()
{
	local policy variant
	for policy in hold pause rollback; do
		rollout_done "few-$policy" start
		lab_wait "the step" rollout_weights_are "few-$policy" "blue 90, canary 10"
		for variant in blue canary; do
			lab_assert 'd["accepted"] == 1' "$(lab_api POST "/v1/services/few-$policy/rollout/metrics" \
				"{\"metric\": \"wrong-answers\", \"variant\": \"$variant\", \"events\": 0, \"trials\": 1}")"
		done
	done
	is_paused few-pause
	is_back few-rollback
	is_held few-hold no_data # nobody said anything more
}

# One connection in all of the test.
test_one_connection_an_hour_promotes_nobody()
{
	rollout_done hourly start
	lab_wait "the step" rollout_weights_are hourly "blue 90, canary 10"
	lab_exec client "$rollout_client" load --target "hourly=10.0.0.10:${ROLLOUT_PORT[hourly]}@2" --seconds 0.8 \
		--source-port "$(rollout_ports_of hourly canary 1)" --log "$LAB/hourly" >"$LAB/hourly.said"
	lab_assert 'd["failed"] == 0 and d["variants"] == {"canary": 1}' \
		"$("$rollout_client" summary --log "$LAB/hourly" --service hourly)"
	is_held hourly no_data
	lab_assert '{a["verdict"] for a in d["rollouts"][0]["analyses"]} == {"no_data", "inconclusive"}' "$(rollout_history hourly)"
}

# --- Prometheus -------------------------------------------------------------------------------------------------------

prometheus_start()
{
	lab_start splitter prometheus prometheus --config.file="$LAB/prometheus.yml" --log.level=warn \
		--storage.tsdb.path="$LAB/prometheus" --web.listen-address=127.0.0.1:9090
}

prometheus_has() # QUERY
{
	lab_assert 'len(d["data"]["result"]) == 2' \
		"$(lab_exec splitter curl -sS -G --data-urlencode "query=$1" $prometheus/api/v1/query)"
}

test_a_value_of_prometheus_promotes_or_rolls_back()
{
	LAB_WAIT_S=20 lab_wait "Prometheus" prometheus_has good_seconds
	rollout_done good start
	rollout_done bad start
	start_all nan
	rollout_done empty start
	is_back bad
	rollout_wait_state good Succeeded
}

test_nan_is_no_data()
{
	obeys nan no_data
}

test_no_result_is_no_data()
{
	is_held empty no_data
}

test_a_prometheus_that_does_not_answer_is_an_error_and_one_that_is_gone_too()
{
	lab_signal STOP prometheus
	rollout_done down-hold start
	rollout_done down-pause start
	is_paused down-pause
	is_held down-hold error
	lab_stop prometheus KILL
	rollout_done down-rollback start
	is_back down-rollback
	local made
	made=$(lab_json 'd["rollout"]["analysis"]["made"]' "$(rollout_report down-hold)")
	rollout_wait down-hold "r['analysis']['made'] > $made + 2 and r['analysis']['last'] == 'error'"
	is_held down-hold error
}

# --- who never answers ------------------------------------------------------------------------------------------------

test_a_webhook_that_never_answers_holds()
{
	rollout_receiver_answers '{"/hang": {"hang": true}}'
	rollout_done hanging start
	rollout_done barred start
	is_held hanging error
}

test_a_hook_that_never_answers_lets_nothing_pass()
{
	lab_wait "a second time of asking" asked_again
	rollout_is barred 'r["state"] == "Initialized" or r["phase"] == "before"'
	rollout_weights_are barred "blue 100, canary 0"
	rollout_done barred abort
	rollout_wait_state barred Aborted
}

asked_again()
{
	lab_assert 'len([l for l in d if l["body"] and l["body"]["service"] == "barred"]) >= 2' "$(rollout_received /hang)"
}

# --- mistakes ---------------------------------------------------------------------------------------------------------

bad_plan="strategy: canary
stable: blue
candidate: nosuch
steps: [{weight: 50}, {weight: 10}]
analysis:
  metrics:
    - {name: error-rate, source: dataplane}"

test_a_plan_with_mistakes_is_refused_with_line_and_column()
{
	local answer line
	answer=$(rollout_do silent-rollback start plan="$(rollout_json_string "$bad_plan")" file='"bad.yaml"')
	for line in 3:12 4:32 7:7; do
		lab_assert "'error' in d and any(p.startswith('bad.yaml:$line: ') for p in d['problems'])" "$answer"
	done
	echo "$bad_plan" >"$LAB/bad.yaml"
	! lab_headgate rollout start silent-rollback --plan "$LAB/bad.yaml" >"$LAB/answer" 2>&1 || lab_fail "accepted"
	grep -q "bad.yaml:3:12: " "$LAB/answer" || lab_fail "no line and column:" "$(cat "$LAB/answer")"
	lab_assert 'd["rollout"]["state"] == "Failed"' "$(rollout_report silent-rollback)"
}

test_a_file_with_a_mistake_in_a_plan_changes_nothing()
{
	cp "$LAB/headgate.yaml" "$LAB/good.yaml"
	sed -i '0,/candidate: canary/s//candidate: nosuch/' "$LAB/headgate.yaml"
	! lab_headgate reload >"$LAB/answer" 2>&1 || lab_fail "accepted"
	cp "$LAB/good.yaml" "$LAB/headgate.yaml"
	line=$(grep -n -m 1 'candidate: canary' "$LAB/good.yaml" | cut -d: -f1)
	grep -q "headgate.yaml:$line:18: " "$LAB/answer" || lab_fail "no line and column:" "$(cat "$LAB/answer")"
}

# --- a split that is not the configured one ---------------------------------------------------------------------------

test_a_split_that_is_not_the_configured_one_voids_the_analysis()
{
	rollout_done biased start
	lab_wait "the step" rollout_weights_are biased "blue 50, canary 50"
	# Clients whose ports were chosen: of five connections one is the canary's.
	ROLLOUT_SOURCE_PORTS="$(rollout_ports_of biased blue 80) $(rollout_ports_of biased canary 20)"
	rollout_load_start biased biased@250
	rollout_wait biased 'r["analysis"]["ratio"]["void"] and r["analysis"]["last"] == "void"'
	rollout_load_stop biased >"$LAB/biased.end"
	rollout_is biased 'r["state"] == "Progressing" and r["step"] == 0 and r["analysis"]["ratio"]["actual"] < 0.3'
	lab_assert 'd["failed"] == 0' "$(cat "$LAB/biased.end")"
}

# --- what is counted cannot be read -----------------------------------------------------------------------------------

# An analysis of before does not end a step.
test_an_old_pass_ends_no_step()
{
	rollout_done unread start
	rollout_load_start unread unread@100
	rollout_wait unread 'r["step"] == 1 and r["analysis"]["last"] == "pass"'
	lab_start splitter strace strace -f -qq -e trace=bpf -e inject=bpf:error=EIO -o /dev/null -p "$(lab_pid headgated)"
	rollout_wait unread 'r["step_ran_s"] > 2.5'
	rollout_is unread 'r["step"] == 1 and r["analysis"]["last"] == "error" and "cannot be read" in r["waits_for"]'
	lab_stop strace
	rollout_wait unread 'r["step"] > 1'
	rollout_done unread rollback
	rollout_load_stop unread >"$LAB/unread.end"
	rollout_wait_state unread Failed
}

test_nobody_was_promoted_for_lack_of_knowledge()
{
	local promoted
	promoted=$(sqlite3 "$LAB/rollouts.db" "SELECT DISTINCT service FROM rollouts JOIN transitions
		ON rollouts.id = transitions.rollout WHERE to_state IN ('Promoting', 'Succeeded')")
	[ "$promoted" = good ] || lab_fail "promoted:" "$promoted"
}

lab_begin
configuration >"$LAB/headgate.yaml"
ROLLOUT_PORTS=$(seq -s ' ' 8000 "$port")
rollout_hosts nat --metrics 9100
rollout_receiver_start
for host in blue1 canary1; do
	rollout_set $host "gauge.good_seconds=0.5&gauge.bad_seconds=2&gauge.zero_seconds=0" >"$LAB/set"
done
cat >"$LAB/prometheus.yml" <<-END
	global: {scrape_interval: 200ms, scrape_timeout: 200ms}
	scrape_configs:
	  - job_name: versions
	    static_configs: [{targets: ["10.20.0.11:9100", "10.20.0.15:9100"]}]
END
prometheus_start
rollout_splitter
lab_run_tests "rollout trouble"
