#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Whoever says that a shadow got everything and that nobody heard of it must be able to say the opposite. Here without any
# shadow: its host is an ordinary backend beside production, so its answers reach clients, and it gets what it gets.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

test_clients_know_production_from_others()
{
	local said
	watch_begin client
	said=$(shadow_clients web4 both --connections 60)
	lab_assert '0 < d["failed"] < 60 and all("not the answer" in why for why in d["failures"])' "$said"
	lab_assert 'd["marked"] > 0 and d["signed"] > 0 and d["shadow_address"] == d["shadow_mac"] == 0' "$(watch_end client)"
	lab_assert 'd["production"]["absent"] == d["shadow"]["same"] == c["failed"]' "$(shadow_compare both)" c="$said"
	lab_assert 'd["production"]["wrong"] == d["shadow"]["wrong"] == 0' "$(shadow_compare both)"
}

test_a_watch_sees_whatever_comes_from_the_shadows_host()
{
	local said
	watch_begin blue1
	lab_traffic shadow greet 10.20.0.21,10.20.0.11 fd00:20::21,fd00:20::11
	said=$(watch_end blue1)
	lab_assert 'd["shadow_address"] >= 2 and d["shadow_mac"] >= 2 and d["marked"] == 0 and d["leaked"] >= 4' "$said"
}

# The log of a server that got it all, and then not quite.
judged() # SED-SCRIPT
{
	grep '"run": "whole"' "$LAB/production.truth" | sed "$1" >"$LAB/forged.truth"
	lab_json 'json.dumps(d["shadow"])' "$(shadow_compare whole "$LAB/forged.truth")"
}

test_requests_that_are_missing_changed_or_moved_are_noticed()
{
	local first='"id": "3.1"' last='"id": "3.5"'
	only_production
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 whole --connections 10 --body 5000)"
	lab_assert 'd["same"] == 10 and d["wrong"] == 0' "$(judged '')"
	lab_assert 'd["same"] == 9 and d["prefix"] == 1' "$(judged "/$last/d")"
	lab_assert 'd["same"] == 9 and d["wrong"] == 1' "$(judged "/$first/d")"
	lab_assert 'd["same"] == 9 and d["absent"] == 1' "$(judged '/"id": "3\./d')"
	lab_assert 'd["same"] == 9 and d["wrong"] == 1' "$(judged "/$last/p")"
	lab_assert 'd["same"] == 9 and d["wrong"] == 1' "$(judged "/$last/s/\"digest\": \"../\"digest\": \"--/")"
	lab_assert 'd["same"] == 9 and d["wrong"] == 1' "$(judged "/$first/s/3\.1/3.5/; t; /$last/s/3\.5/3.1/")"
	lab_assert 'd["same"] == 9 and d["wrong"] == 1' "$(judged "/$last/s/\"peer\": \"/&1/")"
	lab_assert 'd["same"] == 9 and d["wrong"] == 2' "$(judged "/$last/s/3\.5/99.5/")"
}

only_production()
{
	configuration '"10.20.0.11:8000"' >"$LAB/headgate.yaml"
	lab_headgate reload
}

test_answers_are_the_same_whenever_the_same_is_asked()
{
	local one two other
	one=$(shadow_clients web4 one --connections 10)
	two=$(shadow_clients web4 two --connections 10 --concurrency 1)
	other=$(shadow_clients web4 other --connections 10 --seed 2)
	lab_assert 'd["answers"] == two["answers"] != other["answers"]' "$one" two="$two" other="$other"
}

test_a_connection_that_nobody_ends_is_seen()
{
	shadow_has_no_connection
	lab_start shadow open "$LAB_SOURCE/shadow_client.py" requests --host 127.0.0.1 --mark $SHADOW_MARK --run open --pause-ms 100000 \
		--record "$LAB/client.truth"
	lab_wait "it to be open" grep -q '"run": "open"' "$LAB/shadow.truth"
	! shadow_has_no_connection 2>/dev/null || lab_fail "one is open"
	lab_signal USR1 shadow-server
	lab_wait "the server to say so" grep -q '"event": "alive", "peers": \["127.0.0.1' "$LAB/shadow.truth"
	lab_stop open KILL
	lab_wait "it to end" shadow_has_no_connection
}

configuration() # BACKENDS
{
	cat <<-END
		$(lab_interfaces front back)
		services:
		  web4: {address: 10.0.0.10, port: 8000, forward: nat, variants: {blue: {weight: 1, backends: [$1]}}}
	END
}

lab_begin
shadow_hosts nat
shadow_serve --factor 1
configuration '"10.20.0.11:8000", "10.20.0.21:8000"' >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "shadow judges"
