#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# Blue/green of many services by one command: all of them, or none.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

# As few slot tables as three services and their changes may do with: not all can wait for each other.
configuration()
{
	local name port=8000
	echo "$(lab_interfaces front back)"$'\n'"limits: {slot_tables: 7}"$'\n'"services:"
	for name in one two three; do
		cat <<-END
			  $name:
			    address: 10.0.0.10
			    port: $port
			    protocol: tcp
			    forward: $mode
			    drain: {timeout: 2s, limit: 2s}
			    variants:
			      blue:   {weight: 100, backends: ["10.20.0.11:$port", "10.20.0.12:$port"]}
			      canary: {weight: 0, backends: ["10.20.0.15:$port"]}
		END
		[ $name = three ] || echo "      green:  {weight: 0, backends: [\"10.20.0.13:$port\", \"10.20.0.14:$port\"]}"
		port=$((port + 1))
	done
}

# Who answers new connections of each service, in the order of the configuration.
answered_by() # VARIANT...
{
	local port=8000 variant
	for variant; do
		lab_assert "d['failed'] == 0 and list(d['variants']) == ['$variant']" \
			"$(lab_traffic client requests --url-host 10.0.0.10 --port $port --count 40)"
		port=$((port + 1))
	done
}

weights_before_and_after()
{
	lab_api GET /v1/services | lab_json '[[v["weight"] for v in s["variants"]] for s in d["services"]]' "$(cat)"
}

nothing_is_tracked()
{
	lab_services_are 'not any(s["slots"]["tracked"] for s in d["services"])'
}

test_services_that_are_named_are_switched_together()
{
	local answer
	answer=$(lab_headgate switch one two green -o json)
	lab_assert '[s["service"] for s in d["switched"]] == ["one", "two"] and d["moved_slots"] == 2 * 65536' "$answer"
	lab_assert 'd["switched"][0]["was"]["blue"] == 100 and d["switched"][0]["weights"] == {"blue": 0, "canary": 0, "green": 100}' \
		"$answer"
	answered_by green green blue
}

test_connections_stay_where_they_were_through_switches_and_back()
{
	lab_traffic_start client kept keepalive --url-host 10.0.0.10 --port 8001 --connections 20 --interval 0.02
	lab_headgate switch --all blue
	answered_by blue blue blue
	lab_headgate switch --all canary
	answered_by canary canary canary
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
}

test_all_are_those_that_have_such_a_variant()
{
	lab_headgate switch --all blue
	lab_assert '[s["service"] for s in d["switched"]] == ["one", "two"]' "$(lab_headgate switch --all green -o json)"
	answered_by green green blue
}

test_a_daemon_that_was_killed_finds_every_service_where_it_was_switched()
{
	LAB_WAIT_S=30 lab_wait "all to settle" nothing_is_tracked
	lab_headgate switch --all canary
	lab_stop headgated KILL
	answered_by canary canary canary
	lab_splitter "$LAB/headgate.yaml"
	answered_by canary canary canary
	lab_headgate switch --all blue
	answered_by blue blue blue
	LAB_WAIT_S=30 lab_wait "all to settle" nothing_is_tracked
	lab_headgate switch one two green
	answered_by green green blue
	lab_headgate switch --all blue
}

refused() # REASON ARGUMENT...
{
	local before after reason=$1
	shift
	before=$(weights_before_and_after)
	! lab_headgate switch "$@" 2>"$LAB/output" || lab_fail "accepted: $*"
	grep -q "$reason" "$LAB/output" || lab_fail "no reason:" "$(cat "$LAB/output")"
	after=$(weights_before_and_after)
	[ "$after" = "$before" ] || lab_fail "changed:" "$before" "$after"
}

test_one_that_cannot_be_switched_keeps_all_from_it()
{
	refused "no variant 'green'\|no variant green\|green" one two three green
	refused "no service 'four'" one four blue
	refused "no service has a variant 'mauve'" --all mauve
	lab_headgate backend drain two canary
	refused canary --all canary
	lab_headgate backend undrain two canary
	answered_by blue blue blue
}

test_what_is_neither_names_nor_all_is_refused_over_http()
{
	local body
	for body in '{"to": "green"}' '{"to": "green", "services": []}' '{"to": "green", "services": ["one"], "all": true}' \
		'{"to": "green", "services": [1]}' '{"services": ["one"]}' '{"to": "green", "all": false}'; do
		[ "$(LAB_CODE=1 lab_api POST /v1/switch "$body" | tail -n 1)" = 400 ] || lab_fail "accepted: $body"
	done
	answered_by blue blue blue
}

lab_begin
lab_standard "$mode"
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "$mode"
