#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `headgate rollout`, action by action, with a daemon: what is said, what is refused, what it exits with, and watching.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

# One service more, from blue to canary; a rollout, indented, on stdin.
service() # NAME ADDRESS
{
	cat <<-END
		  $1:
		    address: $2
		    port: 8000
		    forward: nat
		    variants:
		      blue:   {weight: 100, backends: ["10.20.0.11:8000"]}
		      canary: {weight: 0, backends: ["10.20.0.15:8000"]}
	END
	sed 's/^/    /'
}

configuration()
{
	printf 'interfaces: [front, back]\nservices:\n'
	service web 10.0.0.10 <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 5}, {pause: approval}, {weight: 50}, {pause: 1h}, {weight: 100}]
	END
	service judged 10.0.0.11 <<-END
		rollout:
		  strategy: canary
		  stable: blue
		  candidate: canary
		  steps: [{weight: 10}, {pause: 1h}, {weight: 100}]
		  analysis:
		    interval: 200ms
		    min_samples: 1
		    metrics: [{name: failed-handshakes, source: dataplane, max: 50%}]
	END
	service plain 10.0.0.12 </dev/null
}

# Runs the tool and keeps what it says; fails unless it exits with that status and says each text.
said() # EXIT TEXT... -- ARG...
{
	local want=$1 code=0 texts=() text
	shift
	while [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	shift
	lab_headgate "$@" >"$LAB/said" 2>&1 || code=$?
	[ $code = "$want" ] || lab_fail "headgate $*: exit status $code, not $want" "$(cat "$LAB/said")"
	for text in "${texts[@]}"; do
		grep -qF -- "$text" "$LAB/said" || lab_fail "headgate $*: does not say: $text" "$(cat "$LAB/said")"
	done
}

state_is() # SERVICE STATE
{
	lab_assert "d['rollout']['state'] == '$2'" "$(lab_headgate rollout status "$1" -o json)"
}

weights_are() # SERVICE BLUE CANARY
{
	lab_assert "[v['weight'] for v in d['variants']] == [$2, $3]" "$(lab_api GET "/v1/services/$1")"
}

test_a_service_without_a_rollout_is_told_what_to_type()
{
	said 0 "no service has had a rollout; \`headgate rollout start SERVICE\` begins one" -- rollout status
	said 0 "web has had no rollout; \`headgate rollout start web\` begins one" -- rollout status web
	said 0 "there was no rollout" -- rollout history web
	said 1 "web has had no rollout; \`headgate rollout start web\` begins one" -- rollout watch web
	said 1 "headgate rollout start web" -- rollout pause web
	said 1 "headgate rollout start web" -- rollout approve web
	said 1 "headgate rollout start web" -- rollout retry web
	said 1 "web has had no rollout" -- rollout undo web
	said 1 "plain has no \`rollout\` in its configuration: add one, or say --plan FILE" -- rollout start plain
	said 1 "no service 'nosuch'; \`headgate services\` lists them" -- rollout start nosuch
	! lab_headgate status | grep -F rollout || lab_fail "status tells of a rollout"
}

test_what_is_called_wrongly_is_a_usage_error()
{
	said 2 "did you mean \`headgate rollout start\`" -- rollout strat web
	said 2 "usage: headgate rollout start SERVICE" -- rollout start
	said 2 "usage: headgate rollout" -- rollout
	said 2 "\`headgate rollout pause\` does not take" -- rollout pause web --full
	said 2 "\`headgate rollout start\` does not take" -- rollout start web --limit 3
	said 2 "--timeout takes a time" -- rollout watch web --timeout soon
	said 2 "--samples needs -o json" -- rollout history web --samples
	said 0 "Examples:" "headgate rollout approve llm" "rollback SERVICE" -- rollout --help
}

test_a_plan_with_mistakes_is_refused_line_by_line()
{
	cat >"$LAB/bad.yaml" <<-END
		strategy: canary
		stable: blue
		candidate: cannary
		steps: [{weight: 25}, {weight: 5}]
	END
	said 1 "mistake" "$LAB/bad.yaml:3:12: " "$LAB/bad.yaml:4:" -- rollout start plain --plan "$LAB/bad.yaml"
	lab_headgate rollout start plain --plan "$LAB/bad.yaml" -o json >"$LAB/answer" 2>/dev/null && lab_fail "not refused"
	lab_assert 'len(d["problems"]) >= 2 and "nothing was changed" in d["error"]' "$(cat "$LAB/answer")"
	said 1 "cannot read the plan $LAB/none.yaml: No such file or directory" -- rollout start plain --plan "$LAB/none.yaml"
	weights_are plain 100 0
}

test_a_rollout_is_led_by_people()
{
	said 0 "web: rollout 1 has begun: canary gets 5 % of blue's traffic first" "step 2 of 4 (approval), canary 5 %, then weight 50 %" \
		"\`headgate rollout approve web\` goes on" -- rollout start web
	said 1 "is going on" -- rollout start web
	weights_are web 95 5
	said 0 "web      " "WaitingApproval" "2/4" -- rollout status
	said 0 "✓ 1  weight 5 %" "▶ 2  approval" "· 3  weight 50 %" "canary     5.0 %  5.0 %" "nothing is judged" \
		"next: \`headgate rollout approve web\` goes on" -- rollout status web
	said 0 "web: rollout 1: WaitingApproval, step 2 of 4 (approval), canary 5 %; \`headgate rollout approve web\`" -- status
	said 0 "web: rollout 1: WaitingApproval" -- services
	said 0 "web: rollout 1: WaitingApproval" -- services web
	said 1 "headgate rollout abort web" -- weights web blue=50 canary=50
	said 1 "headgate rollout abort web" -- switch web canary
	said 0 "web: rollout 1 is approved" "step 4 of 4 (pause for 1h), canary 50 %" -- rollout approve web
	weights_are web 50 50
	said 1 "headgate: " -- rollout approve web
	said 0 "web: rollout 1 is paused; it is judged all the same" "\`headgate rollout resume web\` goes on" -- rollout pause web
	state_is web Paused
	said 0 "web: rollout 1 goes on" "Progressing, step 4 of 4" -- rollout resume web
	said 0 "web: rollout 1 waits no longer in this step" "\`headgate rollout undo web\`" -- rollout promote web
	state_is web Succeeded
	weights_are web 0 100
	said 0 "web: rollout 1: Succeeded" -- rollout watch web
	said 1 "there is nothing to try again" -- rollout retry web
	said 0 "web: rollout 1 is undone: weights are as before it" -- rollout undo web
	weights_are web 100 0
	said 1 "headgate: " -- rollout undo web
}

test_back_by_rollback_and_by_abort_and_again()
{
	lab_headgate rollout start web >"$LAB/said"
	said 0 "web: rollout 2 goes back" "drain.on_rollback" "Failed" "\`headgate rollout retry web\` begins it again" -- rollout rollback web
	weights_are web 100 0
	said 1 "web: rollout 2: Failed" -- rollout watch web
	said 0 "web: rollout 3 has begun: canary gets 5 %" -- rollout retry web
	said 0 "web: rollout 3 is aborted" "drain.on_change" "Aborted" -- rollout abort web
	weights_are web 100 0
	said 1 "web: rollout 3: Aborted" -- rollout watch web
}

test_promote_full_skips_every_step()
{
	cat >"$LAB/plan.yaml" <<-END
		strategy: canary
		stable: blue
		candidate: canary
		steps: [{pause: 1h}, {weight: 20}, {pause: approval}, {weight: 100}]
	END
	said 0 "plain: rollout 4 has begun: pause for 1h comes first" "then weight 20 %" -- rollout start plain --plan "$LAB/plan.yaml"
	said 0 "plain: rollout 4 waits for no step any more" -- rollout promote plain --full
	lab_wait "its end" state_is plain Succeeded
	weights_are plain 0 100
}

test_history_tells_what_happened_and_who_did_it()
{
	said 0 "Succeeded" "Failed" "Aborted" "uid 0" -- rollout history web
	[ "$(awk 'NR > 1 { print $1 }' "$LAB/said" | tr '\n' ' ')" = "3 2 1 " ] || lab_fail "other rollouts" "$(cat "$LAB/said")"
	said 0 "3  web" -- rollout history web --limit 1
	[ "$(wc -l <"$LAB/said")" = 2 ] || lab_fail "not one" "$(cat "$LAB/said")"
	said 0 "WaitingApproval" "Promoting" "ASKED FOR" "approve" "promote" -- rollout history web --rollout 1
	said 0 "there was no such rollout" -- rollout history web --rollout 4
	lab_assert '[r["id"] for r in d["rollouts"]] == [1] and d["rollouts"][0]["transitions"][-1]["to"] == "Succeeded"' \
		"$(lab_headgate rollout history web --rollout 1 -o json)"
	lab_assert 'len(d["rollouts"]) == 3 and "plan" in d["rollouts"][0]' "$(lab_headgate rollout history web --samples -o json)"
}

# Traffic to the judged service, while a file is there.
traffic()
{
	(
		while [ -e "$LAB/traffic" ]; do
			lab_traffic client requests --url-host 10.0.0.11 --port 8000 --count 50 >"$LAB/requests" 2>&1 || true
		done
	) &
}

test_watch_by_lines_follows_a_rollout_that_fails_by_itself()
{
	local code=0
	: >"$LAB/traffic"
	traffic
	lab_headgate rollout start judged >"$LAB/said"
	(sleep 1; lab_stop nginx-canary1) &
	lab_headgate rollout watch judged --timeout 20s >"$LAB/lines" || code=$?
	rm "$LAB/traffic"
	[ $code = 1 ] || lab_fail "exit status $code" "$(cat "$LAB/lines")"
	grep -q 'step 1 of 2 is done, 10% to canary, and the last analysis passed' "$LAB/lines" || lab_fail "no step passed" "$(cat "$LAB/lines")"
	tail -n 1 "$LAB/lines" | grep -q 'judged: rollout 5: Failed.*failed-handshakes' || lab_fail "another end" "$(cat "$LAB/lines")"
	weights_are judged 100 0
	said 0 "fail, proven" "failed-handshakes: " "analyses: " -- rollout status judged
	said 0 "fail" "failed-handshakes" -- rollout history judged --rollout 5
	lab_headgate rollout history judged --rollout 5 --samples -o json >"$LAB/recorded.json"
	said 0 "the analysis failed: failed-handshakes" "Failed by analysis" -- rollout simulate judged \
		--config "$LAB/headgate.yaml" --recorded "$LAB/recorded.json"
	wait
	lab_nginx canary1 canary
}

test_watch_on_a_terminal_leads_a_rollout_to_its_end()
{
	lab_headgate rollout start web >"$LAB/said"
	LC_ALL=C.UTF-8 TERM=xterm-256color "$LAB_SOURCE/terminal.py" --size 110x36 \
		"$LAB_BUILD/headgate" --socket "$LAB/api.sock" rollout watch web <<-END
			top ^web: rollout 6, canary, blue -> canary
			see ^WaitingApproval, step 2 of 4
			see ^▶  2  approval
			see slots +5.0 %
			key a
			see ^Progressing, step 4 of 4 .pause for 1h., canary 50 %
			see rollout 6: .*step 4 of 4
			see slots +50.0 %
			key p
			see ^Paused, step 4 of 4
			sh kill -9 $(lab_pid headgated)
			see headgated does not answer
			sh touch $LAB/killed
			see headgated answers again
			see ^Paused, step 4 of 4
			key p
			see ^Progressing, step 4 of 4
			key x
			bottom y or n
			key y
			bottom the rollout is over: Failed; press a key
			key q
			end 1
			restored
		END
	weights_are web 100 0
}

# headgated is started again as soon as the person has seen that it is away.
revive()
{
	(
		while [ ! -e "$LAB/killed" ]; do sleep 0.05; done
		lab_splitter "$LAB/headgate.yaml"
	) >"$LAB/revived" 2>&1 &
}

test_json_is_the_answer_as_it_is()
{
	lab_assert 'd["service"] == "web" and d["rollout"]["id"] == 7' "$(lab_headgate rollout start web -o json)"
	lab_assert '{r["service"] for r in d["rollouts"]} == {"web", "judged", "plain"}' "$(lab_headgate rollout status -o json)"
	lab_headgate rollout abort web -o json >"$LAB/answer"
	lab_headgate rollout pause web -o json >"$LAB/answer" 2>/dev/null && lab_fail "not refused"
	lab_assert 'list(d) == ["error"]' "$(cat "$LAB/answer")"
	lab_headgate rollout watch web -o json >"$LAB/answer" && lab_fail "an aborted rollout did not succeed"
	lab_assert 'd["rollout"]["state"] == "Aborted"' "$(cat "$LAB/answer")"
}

test_doctor_tells_of_rollouts()
{
	lab_headgate rollout start web >"$LAB/said"
	lab_assert '[c["result"] for c in d["checks"] if c["name"] == "rollout"] == ["warn"]' "$(lab_headgate doctor -o json || true)"
	lab_headgate rollout abort web >"$LAB/said"
	lab_assert '[c for c in d["checks"] if c["name"] == "rollout"] == []' "$(lab_headgate doctor -o json || true)"
}

export LC_ALL=C.UTF-8
lab_begin
lab_standard nat
ip -n "$LAB_NAME-splitter" address add 10.0.0.11/24 dev lo
ip -n "$LAB_NAME-splitter" address add 10.0.0.12/24 dev lo
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
revive
lab_run_tests rollout-command
