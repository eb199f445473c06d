#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# attach: tc generic
#
# What only `nat` has: source addresses and ports of the splitter's own, and their limits.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

configuration()
{
	cat <<-END
		$(lab_interfaces front back)
		services:
		  few:
		    address: 10.0.0.10
		    port: 8000
		    protocol: tcp
		    forward: nat
		    nat: {ports: 10000-10015}
		    variants:
		      blue: {weight: 1, backends: ["10.20.0.11:8000"]}
		  sources:
		    address: 10.0.0.10
		    port: 8001
		    protocol: tcp
		    forward: nat
		    nat: {sources: [10.20.0.1, 10.20.0.101]}
		    variants:
		      blue: {weight: 1, backends: ["10.20.0.11:8001"]}
	END
}

# The server's side of connections: "address port" of each request on a port of its own, since the last call.
served() # PORT
{
	awk -v port="$1" '$3 == port && $1 !~ /^127/ { print $1, $2 }' "$LAB/blue1/access.log"
	: >"$LAB/blue1/access.log"
}

test_when_ports_run_out_live_connections_go_on_and_no_port_is_shared()
{
	local before after live
	before=$(lab_api GET /v1/services/few)
	served 8000 >"$LAB/earlier"
	lab_traffic_start client full keepalive --idle --url-host 10.0.0.10 --port 8000 --connections 30 --timeout 2 --reset
	lab_assert 'd["broken"] == 14' "$(lab_event full open)"
	after=$(lab_api GET /v1/services/few)
	lab_assert 'd["drops"]["ports_exhausted"] - before["drops"]["ports_exhausted"] >= 14' "$after" before="$before"
	served 8000 >"$LAB/earlier"
	lab_assert 'd["broken"] == 14 and d["moved"] == 0' "$(lab_traffic_again full 1)"
	live=$(served 8000 | sort -u)
	[ "$(wc -l <<<"$live")" -eq 16 ] || lab_fail "not 16 different sources:" "$live"
	awk '$1 != "10.20.0.1" || $2 < 10000 || $2 > 10015 { exit 1 }' <<<"$live" || lab_fail "out of range:" "$live"
	lab_assert 'd["drops"]["ports_exhausted"] >= 14 and d["variants"][0]["opened"] >= 16' "$after"
	lab_traffic_stop full
}

no_port_is_in_use()
{
	lab_assert 'd["flows"]["source_ports"] == 0' "$(lab_api GET /v1/status)"
}

# Those of the test before this one, which were reset: an orderly end has a port rest as long as the server's TIME_WAIT.
test_ports_of_ended_connections_serve_new_ones()
{
	LAB_WAIT_S=40 lab_wait "the sweep of what has ended" no_port_is_in_use
	lab_traffic_start client again keepalive --idle --url-host 10.0.0.10 --port 8000 --connections 16
	lab_assert 'd["broken"] == 0' "$(lab_traffic_stop again)"
}

test_configured_sources_are_both_used()
{
	served 8001 >"$LAB/earlier"
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests --url-host 10.0.0.10 --port 8001 --count 100)"
	[ "$(served 8001 | cut -d' ' -f1 | sort -u | paste -sd' ')" = "10.20.0.1 10.20.0.101" ]
}

test_doctor_warns_when_the_host_hands_out_the_reserved_ports_itself()
{
	local output
	output=$(lab_headgate doctor --pins "$LAB/bpf/headgate") || lab_fail "doctor fails a host in order" "$output"
	! grep warn <<<"$output" || lab_fail "doctor warns of a host in order" "$output"
	lab_exec splitter sysctl -qw net.ipv4.ip_local_port_range="10000 60000"
	output=$(lab_headgate doctor --pins "$LAB/bpf/headgate")
	grep -q 'warn.*10000-10015' <<<"$output" || lab_fail "doctor did not see it" "$output"
}

lab_begin
lab_standard nat
lab_address splitter 10.20.0.101 back
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests nat
