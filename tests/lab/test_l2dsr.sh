#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# l2dsr end to end: clients and backends on one segment with the splitter, which sees requests only.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
LAB_ARMS=1

target=(--url-host 10.0.0.10 --port 8000)

configuration() # GREEN-WEIGHT
{
	cat <<-END
		interfaces: [front]
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    forward: l2dsr
		    drain: {on_rollback: reset, pace: 1000%/s}
		    variants:
		      blue:  {weight: 100, backends: [10.20.0.11, 10.20.0.12]}
		      green: {weight: $1, backends: [10.20.0.13]}
	END
}

# The VIP, which it does not answer ARP for, and a way to clients that is not by the splitter.
answer_directly() # HOST ADDRESS
{
	lab_exec "$1" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip -n "$LAB_NAME-$1" address add 10.0.0.10/32 dev lo
	lab_address "$1" "$2"
}

test_requests_are_answered_by_each_variant_directly()
{
	local service result
	result=$(lab_traffic client requests "${target[@]}" --count 500)
	lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue", "green"}' "$result"
	service=$(lab_api GET /v1/services/web)
	lab_assert '{v["name"]: v["opened"] for v in d["variants"]} == r["variants"]' "$service" r="$result"
	lab_assert 'all(v["client_packets"] > 3 * v["opened"] and "server_packets" not in v for v in d["variants"])' "$service"
}

test_live_connections_stay_when_weight_moves()
{
	lab_traffic_start client kept keepalive "${target[@]}" --connections 40 --interval 0.05
	lab_headgate weights web blue=100 green=0
	lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue"}' "$(lab_traffic client requests "${target[@]}" --count 200)"
	sleep 0.5
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
	lab_headgate weights web blue=100 green=100
}

nobody_is_on_green()
{
	[ "$(lab_exec green1 ss -Htn state established "( sport = :8000 )" | wc -l)" -eq 0 ]
}

# The silent ones, too, as they have spoken since their slots became tracked, and so are known.
test_a_rollback_resets_both_ends_of_what_was_left()
{
	local silent
	lab_traffic_start client silent keepalive "${target[@]}" --connections 40 --idle
	lab_headgate weights web blue=100 green=0
	silent=$(lab_traffic_again silent 1)
	lab_assert 'd["broken"] == 0 and set(d["variants"]) == {"blue", "green"}' "$silent"
	lab_headgate weights web blue=100 green=100
	lab_traffic_start client kept keepalive "${target[@]}" --connections 40 --interval 0.05
	lab_headgate weights web blue=100 green=0 --rollback
	lab_wait "nobody on green" nobody_is_on_green
	lab_assert 'd["broken"] == 0' "$(lab_traffic_stop silent)" # the program has not looked
	lab_assert '0 < d["broken"] < 40' "$(lab_traffic_stop kept)"
}

lab_begin
lab_standard dsr
answer_directly blue1 10.10.1.11
answer_directly blue2 10.10.1.12
answer_directly green1 10.10.1.13
configuration 100 >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests l2dsr
