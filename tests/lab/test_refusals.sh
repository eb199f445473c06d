#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What is refused, at the API and in configurations: with a reason, with nothing changed, and with the daemon alive.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

configuration()
{
	cat <<-END
		interfaces: [front, back]
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    protocol: tcp
		    forward: nat
		    variants:
		      blue:  {weight: 1, backends: ["10.20.0.11:8000"]}
		      green: {weight: 0, backends: ["10.20.0.12:8000"]}
		    cohorts: [{source: 10.9.0.0/16, variant: green}]
		  other:
		    address: 10.0.0.10
		    port: 8001
		    protocol: tcp
		    forward: nat
		    variants:
		      blue: {weight: 1, backends: ["10.20.0.11:8001"]}
	END
}

picture()
{
	lab_api GET /v1/services
}

# --- the API ----------------------------------------------------------------------------------------------------------

refused() # STATUS METHOD PATH [BODY]
{
	local want=$1 before answer
	shift
	before=$(picture)
	answer=$(LAB_CODE=1 lab_api "$@")
	[ "${answer##*$'\n'}" = "$want" ] || lab_fail "$1 $2 ${3:-}: not $want:" "$answer"
	lab_assert 'len(d["error"]) > 10' "${answer%$'\n'*}"
	[ "$(picture)" = "$before" ] || lab_fail "the refused request changed something" "$before" "$(picture)"
}

test_what_is_not_json_is_refused()
{
	refused 400 PUT /v1/services/web/weights 'blue=90'
	refused 400 PUT /v1/services/web/weights ''
	refused 400 PUT /v1/services/web/weights "$(printf '{"weights": {"blue": 1\xff}}')"
}

test_json_of_another_shape_is_refused()
{
	refused 400 PUT /v1/services/web/weights '[1, 2]'
	refused 400 PUT /v1/services/web/weights '{"weights": {"blue": "many"}}'
	refused 400 PUT /v1/services/web/weights '{"weights": {"blue": -1}}'
	refused 400 PUT /v1/services/web/weights '{"weights": {"blue": 0, "green": 0}}'
	refused 400 PUT /v1/services/web/weights '{"weights": {"green": 1}}'
	refused 400 POST /v1/services/web/switch '{"to": 7}'
	refused 400 POST /v1/services/web/cohorts '{"source": "10.7.0.0/33", "variant": "green"}'
}

test_a_body_of_100_megabytes_is_refused_and_keeps_nobody_waiting()
{
	local sender
	head -c 100M /dev/zero >"$LAB/big"
	curl -s --unix-socket "$LAB/api.sock" -X PUT --data-binary "@$LAB/big" -o "$LAB/answer" -w '%{http_code}' \
		http://headgate/v1/services/web/weights >"$LAB/code" &
	sender=$!
	sleep 0.2
	curl -sSf -m 1 --unix-socket "$LAB/api.sock" http://headgate/v1/version
	wait $sender || true
	rm "$LAB/big"
	[ "$(cat "$LAB/code")" = 413 ] || lab_fail "answered $(cat "$LAB/code")" "$(cat "$LAB/answer")"
	lab_assert '"error" in d' "$(cat "$LAB/answer")"
	refused 404 GET /v1/nothing
}

test_what_does_not_exist_is_refused()
{
	refused 404 GET /v1/services/nosuch
	refused 404 PUT /v1/services/nosuch/weights '{"weights": {"blue": 1}}'
	refused 404 POST /v1/services/web/switch '{"to": "nosuch"}'
	refused 404 DELETE /v1/services/web/cohorts '{"source": "10.8.0.0/16"}'
	refused 404 GET /nosuch
}

test_other_methods_are_refused()
{
	refused 405 DELETE /v1/status
	refused 405 PATCH /v1/services/web/weights '{"weights": {"blue": 1}}'
	refused 405 GET /v1/reload
}

test_an_overlapping_cohort_is_refused()
{
	refused 409 POST /v1/services/web/cohorts '{"source": "10.9.1.0/24", "variant": "blue"}'
}

test_fifty_silent_connections_do_not_keep_others_waiting()
{
	lab_start splitter silent /usr/bin/python3 -c 'import socket, sys, time
held = [socket.socket(socket.AF_UNIX) for _ in range(50)]
[s.connect(sys.argv[1]) for s in held]
print("{\"event\": \"open\"}", flush=True)
time.sleep(60)' "$LAB/api.sock"
	lab_wait "connections" lab_event silent open
	curl -sSf -m 2 --unix-socket "$LAB/api.sock" http://headgate/v1/version
	lab_stop silent
}

# --- configurations ---------------------------------------------------------------------------------------------------

# A configuration made from the good one is refused by `headgate check`, at start, and by reload.
is_bad() # PATTERN-OF-MESSAGE SED-SCRIPT
{
	configuration | sed "$2" >"$LAB/headgate.yaml"
	! cmp -s "$LAB/headgate.yaml" "$LAB/good.yaml" || lab_fail "the test changes nothing"
	check_refuses "$1"
	start_refuses "$1"
	reload_refuses "$1"
}

says_why() # WHO OUTPUT PATTERN
{
	grep -Eq "headgate\.yaml:[0-9]+:[0-9]+: .*$3" <<<"$2" || lab_fail "$1 does not say where and what:" "$2"
}

check_refuses()
{
	local output code=0
	output=$(lab_headgate check "$LAB/headgate.yaml" 2>&1) || code=$?
	[ $code -eq 1 ] || lab_fail "check exits with $code" "$output"
	says_why check "$output" "$1"
}

# Starts a second daemon, which must end by itself and leave no pins. Prints what it says.
refused_start()
{
	local output code=0
	output=$(lab_exec splitter timeout 10 "$LAB_BUILD/headgated" --config "$LAB/headgate.yaml" \
		--socket "$LAB/second.sock" --pins "$LAB/bpf/second" --state "$LAB/second.json" 2>&1) || code=$?
	if [ $code -eq 0 ] || [ $code -ge 124 ]; then
		lab_fail "start exits with $code" "$output"
	fi
	[ ! -e "$LAB/bpf/second" ] || lab_fail "pins are left of a start that was refused"
	echo "$output"
}

start_refuses()
{
	local output
	output=$(refused_start)
	says_why start "$output" "$1"
}

reload_refuses()
{
	local output code=0 before
	before=$(picture)
	output=$(lab_headgate reload 2>&1) || code=$?
	[ $code -eq 1 ] || lab_fail "reload exits with $code" "$output"
	says_why reload "$output" "$1"
	[ "$(picture)" = "$before" ] || lab_fail "changed:" "$before" "$(picture)"
}

test_an_unknown_key_is_refused() { is_bad colour '0,/port:/s/port: 8000/&\n    colour: red/'; }
test_two_services_at_one_address_are_refused() { is_bad 'web' 's/port: 8001/port: 8000/'; }
test_overlapping_cohorts_are_refused()
{
	is_bad '10\.9\.' 's|cohorts: \[|&{source: 10.9.3.0/24, variant: blue}, |'
}
test_a_backend_of_another_family_is_refused() { is_bad 'IPv[46]' 's/"10.20.0.12:8000"/"[fd00:20::12]:8000"/'; }
test_a_cohort_of_another_family_is_refused() { is_bad 'IPv[46]' 's|10.9.0.0/16|fd00:9::/64|'; }
test_a_cohort_of_an_unknown_variant_is_refused() { is_bad purple 's/variant: green/variant: purple/'; }
test_a_negative_weight_is_refused() { is_bad weight 's/weight: 0/weight: -1/'; }
test_a_service_without_variants_is_refused() { is_bad 'variants' '/blue:/d; /green:/d; s/variants:/variants: {}/'; }
test_an_invalid_port_is_refused() { is_bad port 's/port: 8001/port: 80001/'; }
test_broken_yaml_is_refused() { is_bad . 's/interfaces: \[/&[/'; }
test_an_empty_file_is_refused() { is_bad . d; }

test_random_bytes_are_refused()
{
	local try
	for try in 1 2 3 4 5; do
		head -c $((try * 1000)) /dev/urandom >"$LAB/headgate.yaml"
		check_refuses .
		reload_refuses .
	done
	start_refuses .
}

test_a_missing_interface_is_refused_at_start_and_by_reload()
{
	local output before
	configuration | sed 's/back\]/nosuch0]/' >"$LAB/headgate.yaml"
	output=$(refused_start)
	grep -q nosuch0 <<<"$output" || lab_fail "does not name the interface" "$output"
	before=$(picture)
	! output=$(lab_headgate reload 2>&1) || lab_fail "reload accepted it" "$output"
	grep -q nosuch0 <<<"$output" || lab_fail "reload does not name the interface" "$output"
	[ "$(picture)" = "$before" ] || lab_fail "changed:" "$before" "$(picture)"
}

test_the_daemon_is_the_one_that_was_started()
{
	lab_assert "d['pid'] == $(lab_pid headgated)" "$(lab_api GET /v1/status)"
	cp "$LAB/good.yaml" "$LAB/headgate.yaml"
	lab_headgate reload
}

lab_begin
lab_host blue1 back 10.20.0.11 fd00:20::11
lab_host green1 back 10.20.0.12 fd00:20::12
configuration >"$LAB/good.yaml"
cp "$LAB/good.yaml" "$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests refusals
