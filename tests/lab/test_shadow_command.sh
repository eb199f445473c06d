#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What operators say of a shadow: it is in force, it is explained, and it outlives daemons and reloads.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

configuration() # SHADOW
{
	cat <<-END
		interfaces: [front, back]
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    forward: nat
		    variants:
		      blue:  {weight: 1, backends: ["10.20.0.11:8000"]}
		    $1
		  plain:
		    address: 10.0.0.11
		    port: 8000
		    forward: nat
		    variants:
		      blue:  {weight: 1, backends: ["10.20.0.11:8000"]}
	END
}

SHADOW='shadow: {backends: ["10.20.0.21:8000", "10.20.0.22:8000"], sample: 10, always: [10.9.0.0/16], never: [10.8.0.0/16]}'

shadow_is() # EXPRESSION
{
	lab_assert "(lambda d: $1)(d['shadow'])" "$(lab_api GET /v1/services/web)"
}

explained() # EXPRESSION CLIENT
{
	lab_assert "(lambda d: $1)(d['shadow'])" "$(lab_headgate explain web --source "$2" -o json)"
}

# How many of 1000 clients would be mirrored.
mirrored()
{
	lab_api GET "/v1/services/web/explain?source=10.1.0.1:[20000-20999]" | grep -o '"mirrored": *true' | wc -l
}

shadow_checks() # DOCTOR'S JSON
{
	lab_json 'json.dumps([c for c in d["checks"] if c["name"] == "shadow"])' "$1"
}

refused() # EXIT TEXT ARG...
{
	local want=$1 text=$2 code=0
	shift 2
	lab_headgate "$@" >"$LAB/said" 2>&1 || code=$?
	[ $code = "$want" ] || lab_fail "headgate $*: exit status $code, not $want" "$(cat "$LAB/said")"
	grep -qF -- "$text" "$LAB/said" || lab_fail "headgate $*: does not say: $text" "$(cat "$LAB/said")"
}

test_a_shadow_is_no_variant()
{
	shadow_is 'd["state"] == "on" and d["sample"] == 10 and d["engine"] == "inline" and d["reason"] == ""'
	shadow_is '[b["address"] for b in d["backends"]] == ["10.20.0.21:8000", "10.20.0.22:8000"]'
	shadows_are_reachable
	lab_assert '[v["name"] for v in d["variants"]] == ["blue"] and len(d["variants"][0]["backends"]) == 1' \
		"$(lab_api GET /v1/services/web)"
	lab_assert 'd["shadow"] is None' "$(lab_api GET /v1/services/plain)"
	! lab_headgate backend list | grep -F 10.20.0.21 || lab_fail "a shadow is listed as a backend"
	! lab_headgate weights web | grep -i shadow || lab_fail "a shadow is listed with the weights"
}

test_a_connection_s_mirroring_is_explained()
{
	local count
	explained 'd["mirrored"] and "10.9.0.0/16 always" in d["why"] and d["backend"].startswith("10.20.0.2")' 10.9.1.2:4567
	explained 'not d["mirrored"] and d["backend"] is None and "10.8.0.0/16 never" in d["why"]' 10.8.1.2:4567
	count=$(mirrored)
	# 10 % of 1000, within five standard deviations.
	((count > 52 && count < 148)) || lab_fail "$count of 1000 would be mirrored"
	lab_headgate explain web --source 10.9.1.2:4567 | grep -q 'it is mirrored: connections of 10.9.0.0/16 always are'
	lab_assert 'd["shadow"] is None' "$(lab_headgate explain plain --source 10.1.0.1:4567 -o json)"
}

test_a_sample_is_set()
{
	lab_headgate shadow web sample 0.01 | grep -qF 'web: 0.01% of new connections are mirrored to 10.20.0.21:8000, 10.20.0.22:8000 (inline)'
	shadow_is 'd["sample"] == 0.01'
	lab_headgate shadow web sample 100
	explained 'd["mirrored"]' 10.1.0.1:4567
	lab_headgate shadow web sample 0
	explained 'not d["mirrored"]' 10.1.0.1:4567
	lab_assert 'd["service"]["shadow"]["sample"] == 12.5' "$(lab_headgate shadow web sample 12.5 -o json)"
}

test_off_is_explained_and_on_mirrors_again()
{
	lab_headgate shadow web off | grep -qF 'headgate shadow web on'
	shadow_is 'd["state"] == "off"'
	explained 'not d["mirrored"] and "headgate shadow web on" in d["why"]' 10.9.1.2:4567
	lab_headgate shadow web sample 20 | grep -qF 'nothing is mirrored, as the shadow is off'
	shadow_is 'd["state"] == "off" and d["sample"] == 20'
	lab_headgate shadow web on
	shadow_is 'd["state"] == "on" and d["sample"] == 20'
	explained 'd["mirrored"]' 10.9.1.2:4567
	grep -q 'shadow web off' "$LAB/headgated.err" || lab_fail "the log does not say who turned it off"
}

restart()
{
	lab_stop headgated KILL
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
}

shadows_are_reachable()
{
	shadow_is 'all(b["hop"] == "reachable" for b in d["backends"])'
}

test_what_was_set_outlives_a_kill_and_a_reload()
{
	lab_headgate shadow web sample 33.33
	lab_headgate shadow web off
	restart
	shadow_is 'd["state"] == "off" and d["sample"] == 33.33 and len(d["backends"]) == 2'
	lab_assert 'any("stays off" in line for line in d["kept"]) and not d["changed"]' "$(lab_headgate reload -o json)"
	shadow_is 'd["state"] == "off" and d["sample"] == 33.33'
	lab_headgate shadow web on
	restart
	shadow_is 'd["state"] == "on" and d["sample"] == 33.33'
}

# The daemon pauses one by itself; here it finds that it did so before.
test_a_pause_lasts_and_is_told_until_it_is_turned_on()
{
	lab_stop headgated
	echo '{"format": 1, "services": {"web": {"shadow": {"state": "paused", "reason": "7% of 200 were lost"}}}}' >"$LAB/state.json"
	lab_splitter "$LAB/headgate.yaml"
	shadow_is 'd["state"] == "paused" and d["reason"] == "7% of 200 were lost"'
	explained 'not d["mirrored"] and "7% of 200 were lost" in d["why"]' 10.9.1.2:4567
	lab_assert 'any("web: its shadow is paused: 7% of 200 were lost" in w for w in d["warnings"])' "$(lab_api GET /v1/status)"
	lab_headgate reload
	lab_headgate shadow web sample 33.33 | grep -qF 'nothing is mirrored, as the shadow is paused'
	restart
	shadow_is 'd["state"] == "paused" and d["reason"] == "7% of 200 were lost" and d["sample"] == 33.33'
	lab_headgate shadow web on
	shadow_is 'd["state"] == "on" and d["reason"] == ""'
	lab_assert 'not any("paused" in w for w in d["warnings"])' "$(lab_api GET /v1/status)"
}

test_a_reload_says_what_changed_and_another_sample_in_the_file_wins()
{
	local answer
	lab_headgate shadow web sample 33.33
	configuration 'shadow: {backends: ["10.20.0.21:8000"], sample: 50, always: [10.9.0.0/16]}' >"$LAB/headgate.yaml"
	answer=$(lab_headgate reload -o json)
	lab_assert 'set(d["changed"]) == {"web: shadow 10.20.0.22:8000 removed", "web: shadow: sample changed from 33.33% to 50%",
		"web: shadow: whose connections are always or never mirrored changed"}' "$answer"
	lab_assert 'any("33.33%, set by command or by a rollout, is dropped" in line for line in d["kept"])' "$answer"
	shadow_is 'd["sample"] == 50 and len(d["backends"]) == 1'
	explained '"never" not in d["why"]' 10.8.1.2:4567
	configuration "" >"$LAB/headgate.yaml"
	lab_assert 'd["changed"] == ["web: shadow 10.20.0.21:8000 removed"]' "$(lab_headgate reload -o json)"
	lab_assert 'd["shadow"] is None' "$(lab_api GET /v1/services/web)"
	configuration "$SHADOW" >"$LAB/headgate.yaml"
	lab_assert 'len(d["changed"]) == 3 and not d["kept"]' "$(lab_headgate reload -o json)"
	shadow_is 'd["sample"] == 10 and d["state"] == "on"'
}

test_what_cannot_be_is_refused_with_what_to_type_next()
{
	local before
	before=$(lab_api GET /v1/services/web)
	refused 1 "plain has no shadow: write shadow:" shadow plain on
	refused 1 "plain has no shadow" shadow plain sample 10
	refused 1 "no service 'nosuch'; \`headgate services\` lists them" shadow nosuch off
	refused 2 "no percentage from 0 to 100" shadow web sample 100.01
	refused 2 "no percentage from 0 to 100" shadow web sample 0.001
	refused 2 "no percentage from 0 to 100" shadow web sample much
	refused 2 "did you mean \`headgate shadow web sample\`" shadow web sampel 10
	refused 2 "usage: headgate shadow SERVICE" shadow web
	refused 2 "usage: headgate shadow SERVICE" shadow web on 10
	refused 2 "usage: headgate shadow SERVICE" shadow web sample
	[ "$(lab_api GET /v1/services/web)" = "$before" ] || lab_fail "a refused command changed something"
	configuration 'shadow: {backends: ["10.20.0.21:8000"], sample: 0}' >"$LAB/headgate.yaml"
	lab_headgate reload
	refused 1 "headgate shadow web sample 10" shadow web on
	configuration "$SHADOW" >"$LAB/headgate.yaml"
	lab_headgate reload
}

test_the_api_refuses_other_shapes()
{
	local body code
	for body in '{}' '{"state": "paused"}' '{"state": 1, "sample": 10}' '{"sample": "10"}' '{"sample": -1}' \
		'{"sample": 100.01}' '{"sample": 0.001}' '{"sample": null}' '[]'; do
		code=$(LAB_CODE=1 lab_api PUT /v1/services/web/shadow "$body")
		[ "${code##*$'\n'}" = 400 ] || lab_fail "$body: not 400" "$code"
	done
	lab_assert 'd["service"]["shadow"]["state"] == "off" and d["service"]["shadow"]["sample"] == 0.29' \
		"$(lab_api PUT /v1/services/web/shadow '{"state": "off", "sample": 0.29}')"
	lab_api PUT /v1/services/web/shadow '{"state": "on", "sample": 10}'
}

test_doctor_warns_of_what_keeps_a_shadow_from_working()
{
	local checks
	checks=$(shadow_checks "$(lab_headgate doctor -o json || true)")
	lab_assert '[c["result"] for c in d] == ["ok", "ok"]' "$checks"
	configuration 'shadow: {backends: ["10.20.0.99:8000", "172.30.0.1:8000"], sample: 1}' |
		sed 's/^interfaces:.*/interfaces: [front, {name: back, attach: generic}]/' >"$LAB/other.yaml"
	lab_exec splitter ip route add 172.30.0.0/24 via 10.20.0.11
	checks=$(shadow_checks "$(lab_exec splitter "$LAB_BUILD/headgate" --socket "$LAB/none" doctor \
		--config "$LAB/other.yaml" -o json || true)")
	lab_assert '[c["result"] for c in d] == ["warn", "warn", "warn"]' "$checks"
	lab_assert '"generic" in d[0]["what"] and "does not say its MAC" in d[1]["what"] and "gateway 10.20.0.11" in d[2]["what"]' "$checks"
}

lab_begin
lab_host blue1 back 10.20.0.11 fd00:20::11
lab_host shadow1 back 10.20.0.21 fd00:20::21
lab_host shadow2 back 10.20.0.22 fd00:20::22
configuration "$SHADOW" >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_wait "the shadows' hops" shadows_are_reachable
lab_run_tests shadow-command
