#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# A backend that dies under load leaves the rotation in time, its neighbours notice nothing, and it comes back.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

LAB_PORTS="8000 8001"
target=(--url-host 10.0.0.10 --port 8000)

configuration()
{
	cat <<-END
		$(lab_interfaces front back)
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    forward: $mode
		    health: {check: http, interval: 500ms, timeout: 500ms, rise: 2, fall: 3}
		    variants:
		      blue:  {weight: 1, backends: ["10.20.0.11:8000", "10.20.0.12:8000"]}
		      green: {weight: 1, backends: ["10.20.0.13:8000"]}
		  silent:
		    address: 10.0.0.10
		    port: 8001
		    forward: $mode
		    $([ "$mode" = nat ] || echo "measure: all")
		    health: {check: none, passive: 3}
		    variants:
		      blue: {weight: 1, backends: ["10.20.0.11:8001", "10.20.0.12:9"]}
	END
}

# A backend's part of a service's JSON.
backend='next(b for v in d["variants"] for b in v["backends"] if b["address"] == "%s")'

backend_is() # SERVICE ADDRESS EXPRESSION-OF-b
{
	# shellcheck disable=SC2059
	lab_assert "(lambda b: $3)($(printf "$backend" "$2"))" "$(lab_api GET "/v1/services/$1")"
}

# How many checks a backend has been sent: requests without the X-Id of clients.
checks_of() # HOST
{
	awk '$6 == "-" && $1 !~ /^127/' "$LAB/$1/access.log" | wc -l
}

opened() # SERVICE ADDRESS
{
	# shellcheck disable=SC2059
	lab_json "$(printf "$backend" "$2")['opened']" "$(lab_api GET "/v1/services/$1")"
}

# Leaves in $LAB/checks how many checks a neighbour had been sent, that is, how often each was checked, before blue1 was
# seen to be in still: counted first, so that it doesn't matter how long seeing takes.
blue1_is_out()
{
	local checks
	checks=$(checks_of blue2)
	backend_is web 10.20.0.11:8000 'b["in_rotation"] is False' || { echo "$checks" >"$LAB/checks"; return 1; }
}

test_who_answers_is_up()
{
	local address
	for address in 10.20.0.11:8000 10.20.0.12:8000 10.20.0.13:8000; do
		lab_wait "$address to be up" backend_is web $address \
			'b["health"] == "up" and b["health_why"] is None and b["in_rotation"] is True'
	done
	lab_assert 'd["health"] == {"check": "http", "interval_s": 0.5}' "$(lab_api GET /v1/services/web)"
}

test_who_is_killed_is_out_after_three_checks_and_nobody_else_notices()
{
	local killed out checks before result
	lab_traffic_start client kept keepalive "${target[@]}" --connections 60 --interval 0.05
	lab_traffic_start client load continuous "${target[@]}" --rate 150 --record "$LAB/load.json" --client-closes
	killed=$("$LAB_SOURCE/truth.py" now)
	lab_stop nginx-blue1 KILL
	checks=$(checks_of blue2 | tee "$LAB/checks")
	lab_wait "the dead one to be out" blue1_is_out
	out=$("$LAB_SOURCE/truth.py" now)
	# Intervals are spread by a tenth, and do not begin together.
	lab_assert "d - $checks <= 3 + 2" "$(cat "$LAB/checks")"
	backend_is web 10.20.0.11:8000 'b["health"] == "down" and b["health_why"] and b["slots"] == 0'
	before=$(opened web 10.20.0.11:8000)
	sleep 1
	[ "$(checks_of blue2)" -gt "$checks" ] || lab_fail "checks are not seen"
	lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue", "green"}' \
		"$(lab_traffic client requests "${target[@]}" --count 300)"
	[ "$(opened web 10.20.0.11:8000)" -eq "$before" ] || lab_fail "new connections to a dead backend"
	# What failed under load did so before the backend was out, and what was open elsewhere has not been touched.
	lab_traffic_stop load >"$LAB/load"
	result=$(lab_traffic client query --record "$LAB/load.json" --after "$out")
	lab_assert 'd["failed"] == 0 and d["requests"] > 50' "$result"
	result=$(lab_traffic client query --record "$LAB/load.json" --after "$killed" --before "$out")
	lab_assert '0 < d["failed"] < d["requests"] / 2' "$result"
	result=$(lab_traffic_stop kept)
	lab_assert '0 < d["broken"] < 40 and d["moved"] == 0' "$result"
}

test_others_took_its_slots_and_no_more()
{
	lab_assert 'abs(d["variants"][0]["share"] - 0.5) < 0.01 and d["variants"][0]["backends"][1]["slots"] ==
		d["variants"][0]["slots"]' "$(lab_api GET /v1/services/web)"
}

test_who_comes_back_is_in_after_two_checks()
{
	local before
	before=$(opened web 10.20.0.11:8000)
	lab_nginx blue1 blue
	lab_wait "it to be back" backend_is web 10.20.0.11:8000 \
		'b["health"] == "up" and b["in_rotation"] is True and b["slots"] > 0'
	lab_assert 'd["failed"] == 0 and d["hosts"].keys() == {"blue1", "blue2", "green1"}' \
		"$(lab_traffic client requests "${target[@]}" --count 300)"
	[ "$(opened web 10.20.0.11:8000)" -gt "$before" ]
}

test_the_last_backend_of_a_variant_stays_in_and_that_is_said()
{
	lab_stop nginx-green1 KILL
	lab_wait "it to be down" backend_is web 10.20.0.13:8000 'b["health"] == "down" and b["in_rotation"] is True'
	lab_assert 'd["variants"][1]["slots"] == 32768' "$(lab_api GET /v1/services/web)"
	lab_assert 'any("10.20.0.13:8000" in w and "down" in w for w in d["warnings"])' "$(lab_api GET /v1/status)"
	lab_nginx green1 green
	lab_wait "it to be up" backend_is web 10.20.0.13:8000 'b["health"] == "up"'
}

# Nobody asks it, but three connections in a row were refused.
test_connections_that_are_refused_take_a_backend_out()
{
	lab_assert 'd["failed"] >= 3' "$(lab_traffic client requests --url-host 10.0.0.10 --port 8001 --count 40)"
	lab_wait "it to be out" backend_is silent 10.20.0.12:9 'b["in_rotation"] is False'
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests --url-host 10.0.0.10 --port 8001 --count 100)"
	backend_is silent 10.20.0.11:8001 'b["in_rotation"] is True'
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
number=11
for host in blue1 blue2 green1; do
	lab_host $host back 10.20.0.$number fd00:20::$number
	lab_default_route $host
	lab_nginx $host "${host%[12]}"
	number=$((number + 1))
done
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "health $mode"
