#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: inline replay
#
# Which connections are mirrored, what the shadow sees of them, and when it is enough: sample, rules, marks, the cap, the
# automatic pause, and what people command meanwhile.
set -eu
engine=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"
SHADOW_SERVICES=web4

configuration() # OPTION...
{
	lab_interfaces front back
	cat <<-END
		services:
		  web4:
		    address: 10.0.0.10
		    port: 8000
		    forward: nat
		    variants: {blue: {weight: 1, backends: ["10.20.0.11:8000"]}}
		    shadow:
		      backends: ["10.20.0.21:8000"]
		      engine: $engine
		      linger: 2s
	END
	printf '      %s\n' "$@"
}

reload() # OPTION...
{
	configuration "$@" >"$LAB/headgate.yaml"
	lab_headgate reload >"$LAB/reload"
	lab_wait "the shadow" shadow_is_known web4
}

# A sample of 10 %: binomial, so five standard deviations are passed once in two million runs.
test_a_sample_of_connections_is_mirrored()
{
	local said
	lab_headgate shadow web4 sample 10
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 sample --connections 1000 --body 2000 --requests 2)"
	said=$(shadow_settled web4)
	lab_assert 'd["sample"] == 10 and abs(d["eligible"] - 100) <= 5 * (1000 * 0.1 * 0.9) ** 0.5 and d["coverage"] >= 0.99' "$said"
	lab_wait "the shadow's log" sampled_are_there "$said"
	lab_headgate shadow web4 sample 0
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 sample0 --connections 100)"
	lab_assert 'd["eligible"] == 0' "$(shadow_settled web4)"
	lab_headgate shadow web4 sample 100
}

sampled_are_there() # STATUS
{
	lab_assert 'd["shadow"]["same"] == said["whole"] and d["shadow"]["absent"] == 1000 - said["eligible"]' "$(shadow_compare sample)" \
		said="$1"
}

test_a_sample_that_is_none_is_refused()
{
	local sample
	for sample in 101 -1 ten; do
		! lab_headgate shadow web4 sample $sample >"$LAB/output" 2>&1 || lab_fail "sample $sample is taken"
	done
	lab_assert 'd["sample"] == 100' "$(shadow_status web4)"
	! lab_headgate shadow nobody on >"$LAB/output" 2>&1 || lab_fail "a service that there is not"
}

eligible_from() # SOURCE
{
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 "from-$1-$RANDOM" --source "$1" --connections 40 --requests 1)" >&2
	lab_json 'd["eligible"]' "$(shadow_settled web4)"
}

test_some_clients_are_always_mirrored_and_some_never()
{
	reload "sample: 0" "pause: off" "always: [10.10.4.0/24]" "never: [10.10.3.0/24]"
	[ "$(eligible_from 10.10.4.2)" -eq 40 ] || lab_fail "always is not"
	[ "$(eligible_from 10.10.3.2)" -eq 0 ] || lab_fail "never is"
	[ "$(eligible_from 10.10.0.2)" -eq 0 ] || lab_fail "none is some"
	reload "sample: 100" "pause: off" "always: [10.10.4.0/24]" "never: [10.10.3.0/24]"
	[ "$(eligible_from 10.10.3.2)" -eq 0 ] || lab_fail "never is"
	[ "$(eligible_from 10.10.0.2)" -eq 40 ] || lab_fail "all are not"
}

# Packets in the capture at the shadow that a filter is true of.
seen() # FILTER
{
	tcpdump -n -r "$LAB/shadow.pcap" "tcp dst port 8000 and ($1)" 2>"$LAB/tcpdump.err" | wc -l
}

test_the_shadow_sees_marked_packets_from_the_addresses_it_is_told()
{
	local options=("sources: [10.20.0.101, 10.20.0.102]" "dscp: 8") range=tcp
	# The kernel chooses replay's ports.
	[ "$engine" = replay ] || { options+=("ports: 20000-20999") range='src portrange 20000-20999'; }
	reload "sample: 100" "pause: off" "${options[@]}"
	watch_begin shadow
	shadow_run web4 marked --connections 50
	shadow_covered marked 999
	sleep 1.1
	lab_stop watch-shadow INT
	[ "$(seen tcp)" -gt 500 ]
	[ "$(seen "not src 10.20.0.101 and not src 10.20.0.102")" -eq 0 ] || lab_fail "other sources"
	[ "$(seen "src 10.20.0.101")" -gt 50 ] || lab_fail "the first source is not used"
	[ "$(seen "src 10.20.0.102")" -gt 50 ] || lab_fail "the second source is not used"
	# All but pure acknowledgements, which are no copies.
	[ "$(seen "ip[1] & 0xfc != 32 and (tcp[tcpflags] & 7 != 0 or ip[2:2] - ((ip[0] & 15) << 2) - ((tcp[12] & 0xf0) >> 2) != 0)")" \
		-eq 0 ] || lab_fail "packets without the mark"
	[ "$(seen "not $range")" -eq 0 ] || lab_fail "other ports"
	reload "sample: 100" "pause: off"
}

test_a_cap_leaves_connections_out()
{
	reload "sample: 100" "pause: off" "packets_per_second: 200"
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 cap --connections 200)"
	lab_assert 'd["ended"]["over_cap"] > 50 and d["eligible"] == 200' "$(shadow_settled web4)"
	lab_assert 'd["production"]["same"] == 200 and d["shadow"]["wrong"] == 0' "$(shadow_compare cap)"
	lab_wait "no connection at the shadow" shadow_has_no_connection
	reload "sample: 100" "pause: off"
}

test_off_ends_what_is_being_mirrored_and_on_begins_with_new_connections()
{
	shadow_remember web4
	lab_start client live "$LAB_SOURCE/shadow_client.py" requests --host 10.0.0.10 --run live --record "$LAB/client.truth" \
		--connections 20 --concurrency 20 --requests 10 --pause-ms 200 --body 5000
	lab_wait "20 connections" is_mirroring 20
	lab_headgate shadow web4 off
	lab_wait "no connection at the shadow" shadow_has_no_connection
	lab_assert 'd["state"] == "off" and d["ended"]["stopped"] == 20' "$(shadow_settled web4)"
	lab_headgate shadow web4 on
	lab_wait "the clients to end" lab_ended live
	lab_assert 'd["failed"] == 0 and d["requests"] == 200' "$(cat "$LAB/live.log")"
	# They were in the middle when it began again.
	lab_assert 'd["state"] == "on" and d["whole"] == 0' "$(shadow_settled web4)"
	shadow_run web4 new --connections 100
	shadow_covered new 999
}

is_mirroring() # COUNT
{
	lab_assert "d['mirroring'] == $1" "$(shadow_status web4)"
}

test_what_was_commanded_outlives_the_daemon()
{
	lab_headgate shadow web4 sample 25
	lab_stop headgated KILL
	shadow_splitter
	lab_assert 'd["sample"] == 25 and d["state"] == "on"' "$(shadow_status web4)"
	lab_headgate shadow web4 off
	lab_stop headgated KILL
	shadow_splitter
	lab_assert 'd["state"] == "off"' "$(shadow_status web4)"
	lab_headgate shadow web4 on
	lab_headgate shadow web4 sample 100
	shadow_run web4 after --connections 100
	shadow_covered after 999
}

test_a_shadow_that_falls_behind_is_paused_and_goes_on_when_told()
{
	reload "sample: 100" "pause: {lost: 5%, unanswered: 50%, of: 50}"
	lab_stop shadow-server KILL
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 behind --connections 100)"
	lab_wait "the pause" is_paused
	shadow_serve --factor 1
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 paused --connections 50)"
	lab_assert 'd["eligible"] == 0 and d["state"] == "paused"' "$(shadow_settled web4)"
	lab_headgate shadow web4 on
	shadow_run web4 goes-on --connections 40
	shadow_covered goes-on 999
	lab_assert 'd["state"] == "on" and not d["reason"]' "$(shadow_status web4)"
}

is_paused()
{
	lab_assert 'd["state"] == "paused" and bool(d["reason"])' "$(shadow_status web4)"
}

lab_begin
shadow_hosts nat
lab_address client 10.10.3.2
lab_address client 10.10.4.2
lab_address splitter 10.20.0.101 back
lab_address splitter 10.20.0.102 back
shadow_serve --factor 1
configuration "sample: 100" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
lab_run_tests "shadow $engine"
