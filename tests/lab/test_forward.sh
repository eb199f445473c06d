#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# attach: tc generic
# modes: nat dnat
#
# What both forwarding modes owe to clients. Services have ports of their own, so that each test that changes weights
# begins with settled slots.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

service() # NAME ADDRESS PORT PROTOCOL BACKEND-PORT BLUE GREEN CANARY
{
	local before=10.20.0. after=:$5
	[[ $2 != *:* ]] || before='[fd00:20::' after="]:$5"
	cat <<-END
		  $1:
		    address: $2
		    port: $3
		    protocol: $4
		    forward: $mode
		    variants:
		      blue:   {weight: $6, backends: ["${before}11$after", "${before}12$after"]}
		      green:  {weight: $7, backends: ["${before}13$after", "${before}14$after"]}
		      canary: {weight: $8, backends: ["${before}15$after"]}
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service web4 10.0.0.10 80 tcp 8000 60 30 10
	service web6 fd00:aa::10 80 tcp 8000 60 30 10
	service echo4 10.0.0.10 53 udp 5000 60 30 10
	service echo6 fd00:aa::10 53 udp 5000 60 30 10
	service idle 10.0.0.10 8001 tcp 8001 100 0 0
	service cohort 10.0.0.10 8002 tcp 8002 100 0 0
	service kept fd00:aa::10 8002 tcp 8002 60 30 10
	service backends 10.0.0.10 8003 tcp 8003 100 0 0
}

# The answers lie within 4.5 standard deviations of 60 : 30 : 10; one in 100 000 runs errs.
shares='all(abs(d["variants"].get(name, 0) - n * p) <= 4.5 * (n * p * (1 - p)) ** 0.5
	for name, p in (("blue", 0.6), ("green", 0.3), ("canary", 0.1)) for n in [sum(d["variants"].values())])'

http_is_shared() # ADDRESS
{
	local result
	result=$(lab_traffic client requests --url-host "$1" --port 80 --count 1000)
	lab_assert 'd["failed"] == 0 and d["requests"] == 1000' "$result"
	lab_assert "$shares" "$result"
	lab_assert 'len(d["hosts"]) == 5' "$result"
}

test_http_over_ipv4_is_answered_by_the_configured_share() { http_is_shared 10.0.0.10; }
test_http_over_ipv6_is_answered_by_the_configured_share() { http_is_shared fd00:aa::10; }

udp_is_echoed() # ADDRESS
{
	local result
	result=$(lab_traffic client udp-clients --url-host "$1" --port 53 --count 200 --per 5 | tail -n 1)
	lab_assert 'd["lost"] == 0 and d["wrong"] == 0 and d["moved"] == 0 and d["sent"] == 1000' "$result"
	lab_assert "$shares" "$result"
}

test_udp_over_ipv4_is_echoed_by_the_configured_share() { udp_is_echoed 10.0.0.10; }
test_udp_over_ipv6_is_echoed_by_the_configured_share() { udp_is_echoed fd00:aa::10; }

test_backends_see_the_address_that_the_mode_promises()
{
	local seen want="10.10.0.2 fd00:10::2"
	[ "$mode" = dnat ] || want="10.20.0.1 fd00:20::1"
	lab_traffic client requests --url-host 10.0.0.10 --port 80 --count 50
	lab_traffic client requests --url-host fd00:aa::10 --port 80 --count 50
	seen=$(cut -d' ' -f1 "$LAB"/*/access.log | grep -v '^127' | sort -u | paste -sd' ')
	[ "$seen" = "$want" ] || lab_fail "the servers saw $seen, not $want"
}

bytes_survive() # URL-ADDRESS
{
	local file=$LAB/files/64M
	[ -e "$file" ] || head -c 64M /dev/urandom >"$file"
	rm -f "$LAB/downloaded" "$LAB"/*/upload/64M
	lab_exec client curl -sSf -m 30 -o "$LAB/downloaded" "http://$1/file/64M"
	cmp "$LAB/downloaded" "$file"
	lab_exec client curl -sSf -m 30 -T "$file" "http://$1/upload/64M"
	sha256sum "$file" "$LAB"/*/upload/64M | awk '{ sum[$1]++; n++ } END { exit !(n == 2 && length(sum) == 1) }' ||
		lab_fail "the uploaded file differs"
}

test_64_megabytes_survive_download_and_upload_over_ipv4() { bytes_survive 10.0.0.10; }
test_64_megabytes_survive_download_and_upload_over_ipv6() { bytes_survive '[fd00:aa::10]'; }

test_500_connections_are_open_at_once()
{
	local result
	result=$(lab_traffic client concurrent --url-host 10.0.0.10 --port 80 --connections 500)
	lab_assert 'd["opened"] == 500 and d["failed"] == 0 and len(d["variants"]) == 3' "$result"
}

opened='sum(v["opened"] for v in %s["variants"])'

test_the_kernel_counts_as_many_connections_as_were_made()
{
	local service address before after
	for service in web4 web6; do
		address=10.0.0.10
		[ $service = web4 ] || address=fd00:aa::10
		before=$(lab_api GET /v1/services/$service)
		lab_traffic client requests --url-host $address --port 80 --count 700
		after=$(lab_api GET /v1/services/$service)
		# shellcheck disable=SC2059
		lab_assert "$(printf "$opened - $opened == 700" d before)" "$after" before="$before"
		lab_assert 'all(sum(b["opened"] for b in v["backends"]) == v["opened"] for v in d["variants"])' "$after"
	done
}

test_keep_alive_connections_stay_through_weight_changes_and_a_switch()
{
	local result
	lab_traffic_start client kept keepalive --url-host fd00:aa::10 --port 8002 --connections 50 --interval 0.05
	lab_headgate weights kept blue=10 green=30 canary=60
	sleep 0.3
	lab_headgate weights kept blue=0 green=0 canary=100
	sleep 0.3
	lab_headgate switch kept green
	sleep 0.3
	lab_headgate weights kept blue=100 green=0 canary=0
	result=$(lab_traffic_stop kept)
	lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] > 500 and len(d["variants"]) > 1' "$result"
}

test_a_connection_idle_across_two_weight_changes_reaches_its_backend()
{
	local result
	lab_traffic_start client idle keepalive --idle --url-host 10.0.0.10 --port 8001 --connections 20
	lab_assert 'd["variants"] == {"blue": 20}' "$(lab_event idle open)"
	lab_headgate weights idle blue=0 green=100
	lab_headgate weights idle green=0 canary=100
	result=$(lab_traffic_again idle 1)
	lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] == 40' "$result"
	lab_assert 'd["variants"] == {"canary": 20}' \
		"$(lab_traffic client requests --url-host 10.0.0.10 --port 8001 --count 20)"
	result=$(lab_traffic_again idle 2)
	lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] == 60' "$result"
	lab_traffic_stop idle
	if [ "$mode" = dnat ]; then
		lab_assert 'd["flow_misses"] >= 20' "$(lab_api GET /v1/services/idle)"
	fi
}

test_a_switch_under_load_fails_no_request_and_is_complete_when_the_command_returns()
{
	local load command
	lab_traffic_start client load continuous --url-host 10.0.0.10 --port 80 --rate 300 --record "$LAB/load"
	sleep 0.5
	command=$(lab_exec splitter "$LAB_SOURCE/traffic.py" timed \
		"$LAB_BUILD/headgate" --socket "$LAB/api.sock" switch web4 green)
	sleep 0.5
	load=$(lab_traffic_stop load)
	lab_assert 'd["exit"] == 0' "$command"
	lab_assert 'd["failed"] == 0 and d["requests"] > 150 and len(d["variants"]) == 3' "$load"
	load=$(lab_traffic client query --record "$LAB/load" --after "$(lab_json 'd["end"]' "$command")")
	lab_assert 'list(d["variants"]) == ["green"]' "$load"
	lab_headgate weights web4 blue=60 green=30 canary=10
}

to_cohort=(--url-host 10.0.0.10 --port 8002 --count 30)

test_a_cohort_goes_to_its_variant_and_live_connections_stay()
{
	lab_address client 10.10.9.1
	lab_traffic_start client before keepalive --idle --url-host 10.0.0.10 --port 8002 --source 10.10.9.1 --connections 10
	lab_headgate cohort add cohort 10.10.9.0/24 canary
	lab_assert 'd["variants"] == {"canary": 30}' "$(lab_traffic client requests "${to_cohort[@]}" --source 10.10.9.1)"
	lab_assert 'd["variants"] == {"blue": 30}' "$(lab_traffic client requests "${to_cohort[@]}" --source 10.10.0.2)"
	lab_assert 'd["decided_by"] == "cohort" and d["cohort"] == "10.10.9.0/24" and d["variant"] == "canary"' \
		"$(lab_headgate explain cohort --source 10.10.9.1:1234 -o json)"
	lab_assert 'd["variants"] == {"blue": 10} and d["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_again before 1)"

	lab_traffic_start client member keepalive --idle --url-host 10.0.0.10 --port 8002 --source 10.10.9.1 --connections 10
	lab_headgate cohort remove cohort 10.10.9.0/24
	lab_assert 'd["variants"] == {"blue": 30}' "$(lab_traffic client requests "${to_cohort[@]}" --source 10.10.9.1)"
	lab_assert 'd["variants"] == {"canary": 10} and d["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_again member 1)"
	lab_assert 'd["variants"] == {"blue": 10} and d["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_again before 2)"
	lab_traffic_stop before
	lab_traffic_stop member
}

# The rule that leaves and the one that comes overlap for as long as the first one drains.
replaces_cohort() # OLD-PREFIX NEW-PREFIX
{
	lab_headgate cohort add cohort "$1" canary
	lab_traffic_start client member keepalive --idle --url-host 10.0.0.10 --port 8002 --source 10.10.9.1 --connections 10
	lab_headgate cohort remove cohort "$1"
	lab_headgate cohort add cohort "$2" canary
	lab_assert 'd["variants"] == {"canary": 30}' "$(lab_traffic client requests "${to_cohort[@]}" --source 10.10.9.1)"
	lab_assert 'd["variants"] == {"canary": 10} and d["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_again member 1)"
	lab_headgate cohort remove cohort "$2"
	lab_assert 'd["variants"] == {"blue": 30}' "$(lab_traffic client requests "${to_cohort[@]}" --source 10.10.9.1)"
	lab_assert 'd["variants"] == {"canary": 10} and d["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_again member 2)"
	lab_traffic_stop member
}

test_a_cohort_is_made_narrower_and_keeps_its_connections() { replaces_cohort 10.10.8.0/23 10.10.9.0/25; }
test_a_cohort_is_made_wider_and_keeps_its_connections() { replaces_cohort 10.10.9.0/26 10.10.9.0/24; }

test_explain_agrees_with_where_connections_went()
{
	local port said went
	said=$(for port in $(seq 20001 20020); do
		lab_headgate explain web4 --source "10.10.0.2:$port" -o json
		echo ,
	done)
	went=$(lab_traffic client requests --url-host 10.0.0.10 --port 80 --first-port 20001 --count 20 --details)
	lab_assert '{(a["source"], a["variant"]) for a in said}
		== {("%s:%d" % (c["source"], c["port"]), c["variant"]) for c in d["details"]}' "$went" said="[${said%,}]"
	lab_assert 'len({a["variant"] for a in said}) > 1 and len({a["slot"] for a in said}) > 10' "$went" said="[${said%,}]"
}

test_explain_knows_the_flow_of_a_live_connection()
{
	local live said
	lab_traffic_start client live keepalive --idle --url-host 10.0.0.10 --port 80 --connections 1 --details
	live=$(lab_event live open)
	said=$(lab_headgate explain web4 --source "$(lab_json '"%(source)s:%(port)d" % d["details"][0]' "$live")" -o json)
	lab_traffic_stop live
	if [ "$mode" = nat ]; then
		lab_assert 'd["flow"]["variant"] == live["details"][0]["variant"] and d["flow"]["state"] == "established"' \
			"$said" live="$live"
	else
		lab_assert '(d["flow"] or d)["variant"] == live["details"][0]["variant"]' "$said" live="$live"
	fi
}

set_backends() # BLUE-BACKENDS
{
	configuration | awk -v blue="$1" '/^  backends:/ { mine = 1 }
		mine && /blue:/ { sub(/\[.*\]/, "[" blue "]") } { print }' >"$LAB/headgate.yaml"
	lab_headgate reload
	lab_hops_known
}

test_a_backend_added_and_removed_by_reload_breaks_no_live_connection()
{
	local first=10.20.0.11:8003 second=10.20.0.12:8003
	local target=(--url-host 10.0.0.10 --port 8003)
	set_backends "$first"
	lab_traffic_start client live keepalive "${target[@]}" --connections 20 --interval 0.05
	lab_traffic_start client silent keepalive --idle "${target[@]}" --connections 20
	set_backends "$first, $second"
	lab_assert 'd["failed"] == 0 and set(d["hosts"]) == {"blue1", "blue2"}' \
		"$(lab_traffic client requests "${target[@]}" --count 100)"
	set_backends "$second"
	lab_assert 'd["failed"] == 0 and set(d["hosts"]) == {"blue2"}' \
		"$(lab_traffic client requests "${target[@]}" --count 100)"
	lab_assert "{b['address']: b['state'] for b in d['variants'][0]['backends']} == {'$first': 'draining', '$second': 'active'}" \
		"$(lab_api GET /v1/services/backends)"
	sleep 0.3
	lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] == 40' "$(lab_traffic_again silent 1)"
	lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] > 100' "$(lab_traffic_stop live)"
	lab_traffic_stop silent
}

test_nothing_was_dropped_that_should_not_be()
{
	lab_assert 'all(n == 0 for s in d["services"] for reason, n in s["drops"].items() if reason != "no_flow")' \
		"$(lab_api GET /v1/services)"
}

lab_begin
lab_standard "$mode"
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "$mode"
