#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat/tc
#
# Datagrams have a shadow too: it gets each of them from an address of the splitter's, and its answers reach nobody.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"
SHADOW_SERVICES="echo4 echo6"

configuration()
{
	lab_interfaces front back
	cat <<-END
		services:
		  echo4:
		    {address: 10.0.0.10, port: 5000, protocol: udp, forward: $mode, variants: {blue: {weight: 1, backends: ["10.20.0.11:5000"]}},
		     shadow: {backends: ["10.20.0.21:5000"], sample: 100, pause: off}}
		  echo6:
		    {address: "fd00:aa::10", port: 5000, protocol: udp, forward: $mode,
		     variants: {blue: {weight: 1, backends: ["[fd00:20::11]:5000"]}},
		     shadow: {backends: ["[fd00:20::21]:5000"], sample: 100, pause: off}}
	END
}

echo_server() # HOST NAME MARK [OPTION...]
{
	local host=$1 name=$2 mark=$3
	shift 3
	lab_stop "$name" KILL
	lab_start "$host" "$name" "$LAB_SOURCE/shadow_server.py" udp --port 5000 --mark "$mark" --log "$LAB/$name.truth" "$@"
	lab_wait "$name" lab_udp_listens "$host" 5000
}

datagrams() # SERVICE RUN [OPTION...]
{
	local service=$1 run=$2 vip=10.0.0.10
	shift 2
	[ "$service" = echo4 ] || vip=fd00:aa::10
	lab_exec client "$LAB_SOURCE/shadow_client.py" udp --host $vip --port 5000 --run "$run" --record "$LAB/client.truth" --timeout 2 "$@"
}

compare() # RUN
{
	"$LAB_SOURCE/shadow_judge.py" compare --run "$1" --client "$LAB/client.truth" --production "$LAB/udp-production.truth" \
		--shadow "$LAB/udp-shadow.truth"
}

both_got_all() # RUN CONNECTIONS
{
	lab_assert "d['production']['same'] == d['shadow']['same'] == $2 and d['shadow']['wrong'] == 0" "$(compare "$1")"
}

test_every_datagram_reaches_both()
{
	local service
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		lab_assert 'd["failed"] == 0 and d["requests"] == 2000' "$(datagrams "$service" "even-$service" --connections 200 --requests 10)"
		lab_wait "the shadow's log" both_got_all "even-$service" 200
		lab_assert 'd["eligible"] == 200 and d["packets"] == 2000 and d["clones_lost"] == 0' "$(shadow_since "$service")"
	done
}

# No client's address, and another port for each client.
test_the_shadow_sees_an_address_of_the_splitter()
{
	[ "$(sed -n 's/.*"peer": "\(.*\):[0-9]*".*/\1/p' "$LAB/udp-shadow.truth" | sort -u | paste -sd' ')" = "10.20.0.1 [fd00:20::1]" ] ||
		lab_fail "not only the splitter:" "$(cut -c -100 "$LAB/udp-shadow.truth" | sort -u | head -n 3)"
}

test_late_answers_and_none_are_nothing_to_clients()
{
	local service
	echo_server shadow udp-shadow SHADOW-ANSWER --delay-ms 300
	for service in $SHADOW_SERVICES; do
		lab_assert 'd["failed"] == 0' "$(datagrams "$service" "late-$service" --connections 100 --requests 5)"
		lab_wait "the shadow's log" both_got_all "late-$service" 100
	done
	lab_stop udp-shadow KILL
	for service in $SHADOW_SERVICES; do
		lab_assert 'd["failed"] == 0' "$(datagrams "$service" "none-$service" --connections 100 --requests 5)"
	done
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
}

lab_begin
shadow_hosts "$mode"
echo_server blue1 udp-production $PRODUCTION_MARK
echo_server shadow udp-shadow SHADOW-ANSWER
configuration >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "UDP shadow $mode"
