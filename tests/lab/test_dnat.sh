#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# attach: tc generic
#
# What only `dnat` has: slots that need no flow state while they are settled, and a static reverse map.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

service() # NAME PORT PROTOCOL BACKEND-PORT OPTION
{
	cat <<-END
		  $1:
		    address: 10.0.0.10
		    port: $2
		    protocol: $3
		    forward: dnat
		    $5
		    variants:
		      blue:  {weight: 50, backends: ["10.20.0.11:$4", "10.20.0.12:$4"]}
		      green: {weight: 50, backends: ["10.20.0.13:$4"]}
	END
}

configuration()
{
	lab_interfaces front back
	printf 'limits: {flows: 64, half_open: 64}\nservices:\n'
	service settled 8000 tcp 8000 'drain: {timeout: 10m, limit: 1h}'
	service short 8001 tcp 8001 'drain: {timeout: 1s, limit: 3s}'
	service shut 8003 tcp 9 'drain: {timeout: 10m, limit: 1h}'
	service entry 53 udp 5000 'udp_miss: entry'
	service base 54 udp 5001 'udp_miss: base'
}

test_ten_thousand_connections_on_settled_slots_need_no_flow_table()
{
	local result
	result=$(lab_traffic client requests --url-host 10.0.0.10 --port 8000 --count 10000 --concurrency 100)
	lab_assert 'd["failed"] == 0 and d["requests"] == 10000' "$result"
	lab_assert 'd["flow_lookups"] == 0 and sum(v["opened"] for v in d["variants"]) == 10000' \
		"$(lab_api GET /v1/services/settled)"
}

is_settled()
{
	lab_assert 'd["slots"]["tracked"] == 0 and d["slots"]["settles_in_s"] is None' "$(lab_api GET /v1/services/short)"
}

test_moved_slots_settle_after_the_drain_and_then_read_no_flow_state()
{
	local before result
	lab_headgate weights short blue=100 green=0
	lab_assert 'd["slots"]["tracked"] > 30000' "$(lab_api GET /v1/services/short)"
	lab_wait "slots to settle" is_settled
	before=$(lab_api GET /v1/services/short)
	result=$(lab_traffic client requests --url-host 10.0.0.10 --port 8001 --count 200)
	lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 200}' "$result"
	lab_assert 'd["flow_lookups"] == before["flow_lookups"]' "$(lab_api GET /v1/services/short)" before="$before"
}

# At the backends' port nobody listens, so that the ports are free again at once.
test_refused_connections_whose_ports_serve_again_are_counted_one_by_one()
{
	local round
	lab_headgate weights shut blue=0 green=100
	for round in 1 2 3; do
		lab_assert 'd["failed"] == 16' \
			"$(lab_traffic client requests --url-host 10.0.0.10 --port 8003 --count 16 --first-port 34000)"
		lab_assert "sum(v['opened'] for v in d['variants']) == 16 * $round" "$(lab_api GET /v1/services/shut)"
	done
}

udp_across_a_change() # SERVICE PORT
{
	lab_traffic_start client "$1" udp-clients --url-host 10.0.0.10 --port "$2" --count 20 --per 15 --interval 0.05
	lab_headgate weights "$1" blue=0 green=100 >&2
	LAB_WAIT_S=30 lab_wait "the datagrams" lab_event "$1" end
}

test_udp_that_is_not_known_goes_to_the_new_backend()
{
	lab_assert 'd["lost"] == 0 and d["moved"] > 0' "$(udp_across_a_change entry 53)"
}

test_udp_that_is_not_known_stays_when_asked_to()
{
	lab_assert 'd["lost"] == 0 and d["moved"] == 0 and d["variants"]["blue"] > 0' "$(udp_across_a_change base 54)"
}

test_a_backend_of_two_services_is_refused_with_a_reason()
{
	local output
	{ configuration; service second 8002 tcp 8000 'affinity: client'; } >"$LAB/shared.yaml"
	! output=$(lab_headgate check "$LAB/shared.yaml" 2>&1) || lab_fail "accepted" "$output"
	grep -q 'shared.yaml:[0-9]*:[0-9]*: .*10\.20\.0\.11:8000' <<<"$output" || lab_fail "no place, or no name:" "$output"
	grep -q settled <<<"$output" || lab_fail "does not name the other service:" "$output"
}

lab_begin
lab_standard dnat
for host in blue1 blue2 green1; do
	lab_start $host "base-$host" "$LAB_SOURCE/traffic.py" udp-echo-server --port 5001 --name "${host%[12]} $host"
	lab_wait "UDP echo on $host" lab_udp_listens $host 5001
done
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests dnat
