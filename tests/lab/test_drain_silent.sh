#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat nat/tc dnat dnat/generic
#
# A drain by reset leaves no connection behind, on neither side: not of those that say nothing, either.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

connections=40

service() # NAME ADDRESS PORT BLUE CANARY
{
	cat <<-END
		  $1:
		    address: "$2"
		    port: $3
		    forward: $mode
		    $([ "$mode" = nat ] || echo "measure: all")
		    drain: {on_rollback: reset, pace: 50%/s, timeout: 8s}
		    variants:
		      blue:   {weight: 0, backends: ["$4:$3"]}
		      canary: {weight: 1, backends: ["$5:$3"]}
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service four 10.0.0.10 8000 10.20.0.11 10.20.0.15
	service six fd00:aa::10 8001 "[fd00:20::11]" "[fd00:20::15]"
}

# Established, as the host itself has it. FILTER: of ss.
established() # HOST FILTER...
{
	local host=$1
	shift
	lab_exec "$host" ss -Htn state established "$@" | wc -l
}

hold() # NAME ADDRESS PORT ARGUMENTS...
{
	local name=$1 address=$2 port=$3
	shift 3
	lab_traffic_start client "$name" keepalive --url-host "$address" --port "$port" --connections $connections "$@"
	lab_assert "d['variants'] == {'canary': $connections}" "$(lab_event "$name" open)"
}

none_is_left() # PORT
{
	lab_exec canary1 ss -Htnio state established "( sport = :$1 )" | tee "$LAB/left"
	[ ! -s "$LAB/left" ]
}

roll_back() # SERVICE
{
	"$LAB_SOURCE/traffic.py" timed curl -sS --unix-socket "$LAB/api.sock" -X PUT --data-binary \
		'{"weights": {"blue": 1, "canary": 0}, "rollback": true}' "http://headgate/v1/services/$1/weights" >"$LAB/$1.taken"
}

left_at() # FILE
{
	lab_json '"%d ms after the change, of 2000 by the pace" % ((d - taken["start"]) * 1000)' "$("$LAB_SOURCE/truth.py" now)" taken="$(cat "$1")"
}

# Without the daemon's help those that are silent would be there for as long as they are silent.
test_no_connection_is_left_on_the_backend_silent_or_not()
{
	local service port=8000
	for service in four six; do
		[ "$(established canary1 "( sport = :$port )")" -eq $((2 * connections)) ]
		port=$((port + 1))
	done
	port=8000
	for service in four six; do
		roll_back $service
		LAB_WAIT_S=8 lab_wait "no connection of $service on the canary" none_is_left $port
		lab_tell "$mode: none left $(left_at "$LAB/$service.taken")"
		port=$((port + 1))
	done
}

test_none_is_left_at_the_client_but_those_that_are_new()
{
	[ "$(established client "( dport = :8000 or dport = :8001 )")" -eq 0 ]
	for name in silent4 silent6; do
		lab_assert "d['broken'] == 0" "$(lab_traffic_stop $name)" # nobody has told the program yet
	done
	for name in speaking4 speaking6; do
		lab_assert "d['broken'] == $connections" "$(lab_traffic_stop $name)"
	done
}

test_each_is_counted_once()
{
	for service in four six; do
		lab_assert "[v['measured']['reset_by_drain'] for v in d['variants']] == [0, $((2 * connections))]" \
			"$(lab_api GET "/v1/services/$service")"
		lab_assert "sum(v['measured']['reset_by_' + who] for v in d['variants'] for who in ('client', 'server')) == 0" \
			"$(lab_api GET "/v1/services/$service")"
	done
}

drain_is_over() # SERVICE
{
	lab_assert 'd["drain"]["leftover"] == 0 and
		all(b["resetting"] is None and b["leftover"] == 0 for v in d["variants"] for b in v["backends"])' \
		"$(lab_api GET "/v1/services/$1")"
}

test_the_drain_ends()
{
	for service in four six; do
		LAB_WAIT_S=30 lab_wait "the drain of $service to end" drain_is_over $service
	done
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
for host in blue1:11 canary1:15; do
	lab_host ${host%:*} back 10.20.0.${host#*:} fd00:20::${host#*:}
	lab_default_route ${host%:*}
	lab_start ${host%:*} "truth-${host%:*}" "$LAB_SOURCE/truth.py" server --port 8000 8001 --name "${host%1:*} ${host%:*}" \
		--log "$LAB/${host%:*}.truth"
done
# Resets go back out of the interface that the packet came in by.
lab_foreign_program switch to-front
lab_foreign_program switch to-back
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
hold silent4 10.0.0.10 8000 --idle
hold silent6 fd00:aa::10 8001 --idle
hold speaking4 10.0.0.10 8000 --interval 0.1
hold speaking6 fd00:aa::10 8001 --interval 0.1
lab_run_tests "drain of silent connections $mode"
