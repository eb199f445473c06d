#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What is said of connections, against what their servers and clients wrote down: the same counts, and times in between.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

services="nat4 nat6 dnat4 dnat6"
truth=$LAB_SOURCE/truth.py

# The n-th address of a network, and the addresses that a service's clients have, by variant.
declare -A vip=([nat4]=10.0.0.10 [nat6]=fd00:aa::10 [dnat4]=10.0.0.10 [dnat6]=fd00:aa::10 [part]=10.0.0.10)
declare -A port=([nat4]=8000 [nat6]=8000 [dnat4]=8001 [dnat6]=8001 [part]=8002)
declare -A client4=([blue]=10.10.0.2 [shut]=10.10.1.2 [deaf]=10.10.2.2 [lossy]=10.10.3.2 [mute]=10.10.4.2)
declare -A client6=([blue]=fd00:10::2 [shut]=fd00:10::1:2 [deaf]=fd00:10::2:2 [lossy]=fd00:10::3:2 [mute]=fd00:10::4:2)

backend() # SERVICE NUMBER PORT
{
	case $1 in
	*6) echo "\"[fd00:20::$2]:$3\"" ;;
	*) echo "\"10.20.0.$2:$3\"" ;;
	esac
}

# blue answers; at shut's port nobody listens; deaf hears a SYN only when it is sent again; lossy loses data; mute never
# answers. Each has its own backends and clients: what is left of one case, such as SYNs, meets no other.
service() # NAME FORWARD MEASURE
{
	local name=$1 number=${port[$1]} bits=32 variant
	[[ $name != *6 ]] || bits=128
	cat <<-END
		  $name:
		    address: "${vip[$name]}"
		    port: $number
		    forward: $2
		    drain: {timeout: 1s, limit: 2s}
		    ${3:+measure: $3}
		    variants:
		      blue:  {weight: 1, backends: [$(backend "$name" 11 "$number"), $(backend "$name" 12 "$number")]}
		      shut:  {weight: 0, backends: [$(backend "$name" 11 $((number + 100)))]}
		      deaf:  {weight: 0, backends: [$(backend "$name" 13 "$number")]}
		      lossy: {weight: 0, backends: [$(backend "$name" 14 "$number")]}
		      mute:  {weight: 0, backends: [$(backend "$name" 13 $((number + 100)))]}
		    cohorts:
	END
	for variant in shut deaf lossy mute; do
		echo "      - {source: \"$(source_of "$name" $variant)/$bits\", variant: $variant}"
	done
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service nat4 nat ""
	service nat6 nat ""
	service dnat4 dnat all
	service dnat6 dnat all
	service part dnat 1/16
}

source_of() # SERVICE VARIANT
{
	case $1 in
	*6) echo "${client6[$2]}" ;;
	*) echo "${client4[$2]}" ;;
	esac
}

# Clients of one service and variant; what became of them is written down, and printed in sum.
clients() # SERVICE VARIANT OPTION...
{
	local service=$1 variant=$2
	shift 2
	lab_exec client "$truth" clients --url-host "${vip[$service]}" --port "${port[$service]}" \
		--source "$(source_of "$service" "$variant")" --variant "$variant" --log "$LAB/$service.clients" "$@"
}

# The same for each of the services at once.
clients_of_all() # EXPECTED VARIANT OPTION...
{
	local service pids="" pid expected=$1
	shift
	for service in $services; do
		clients "$service" "$@" >"$LAB/$service.sum" &
		pids+=" $!"
	done
	for pid in $pids; do
		wait "$pid"
	done
	for service in $services; do
		lab_assert "d == $expected" "$(cat "$LAB/$service.sum")"
	done
}

agrees() # SERVICE
{
	local service=$1 number host=(0 blue1 blue2 green1 green2) servers=()
	for number in 1 2 3 4; do
		servers+=("$(backend "$service" 1$number "${port[$service]}" | tr -d '"')=$LAB/${host[$number]}.truth")
	done
	lab_api GET "/v1/services/$service" | "$truth" judge --clients "$LAB/$service.clients" "${servers[@]}"
}

# Segments that end connections may still be under way, and what is active is counted by the sweep.
is_the_truth()
{
	local service
	for service in $services; do
		lab_wait "$service to say the truth" agrees "$service"
	done
}

# Loses the first copy of each segment that an nftables match is true of, and no other: so none is lost for long. It is
# lost where it comes in, behind the splitter, which has seen all copies.
lose_first() # MATCH HOST...
{
	local match=$1 host
	shift
	for host in "$@"; do
		lab_exec "$host" nft -f - <<-END
			table inet lost {
				set seen { typeof tcp sport . tcp dport . tcp sequence; flags dynamic; }
				chain input {
					type filter hook input priority 0;
					$match tcp sport . tcp dport . tcp sequence != @seen add @seen { tcp sport . tcp dport . tcp sequence } drop
				}
			}
		END
	done
}

lose_nothing() # HOST...
{
	local host
	for host in "$@"; do
		lab_exec "$host" nft delete table inet lost
	done
}

# First, since it takes longest to be known: see test_connections_that_nobody_answered_are_counted_as_failed.
test_connections_that_nobody_answers_are_open_for_a_while()
{
	clients_of_all '{"timeout": 8}' mute --connections 8 --timeout 0.5
	date +%s >"$LAB/last-syn"
	is_the_truth
}

test_connections_with_one_request()
{
	clients_of_all '{"closed": 200}' blue --connections 200
	is_the_truth
}

test_keepalive_connections_have_a_request_for_each_answer()
{
	clients_of_all '{"closed": 20}' blue --connections 20 --requests 12 \
		--paths /status/200,/status/404,/status/503,/status/302,/delay/3/200,/delay/7/500
	is_the_truth
}

test_slow_answers_take_as_long_as_their_servers_say()
{
	clients_of_all '{"closed": 60}' blue --connections 60 --concurrency 60 --requests 6 \
		--paths /delay/40,/delay/40/503,/delay/40,/delay/40,/delay/300,/delay/300
	is_the_truth
	# 0.3 s, within a histogram's error; that it isn't more than clients waited has just been judged.
	lab_assert 'd["variants"][0]["measured"]["first_byte_s"]["p95"] >= 0.2625' "$(lab_api GET /v1/services/dnat6)"
}

test_streams_are_one_request_and_last_as_long_as_they_do()
{
	clients_of_all '{"closed": 10}' blue --connections 10 --concurrency 10 --paths /stream/20/100
	is_the_truth
}

test_refusals()
{
	clients_of_all '{"refused": 40}' shut --connections 40
	is_the_truth
	lab_assert 'd["variants"][1]["measured"]["error_rate"] == 1' "$(lab_api GET /v1/services/nat4)"
}

test_servers_that_reset_in_the_middle_of_an_answer()
{
	clients_of_all '{"reset": 40}' blue --connections 40 --requests 3 --paths /,/,/reset
	is_the_truth
}

test_clients_that_reset_between_answers()
{
	clients_of_all '{"aborted": 40}' blue --connections 40 --requests 2 --end abort
	is_the_truth
}

# Tokens are under way when the client resets; each of them is answered with one more RST.
test_clients_that_reset_in_the_middle_of_an_answer()
{
	clients_of_all '{"aborted": 40}' blue --connections 40 --paths /,/stream/3000/0 --requests 2 --end abort-early
	is_the_truth
}

test_a_stalled_syn_makes_the_handshake_as_long()
{
	local service
	trap 'lose_nothing green1' EXIT
	lose_first "tcp flags & (syn | ack) == syn" green1
	clients_of_all '{"closed": 10}' deaf --connections 10 --concurrency 10
	is_the_truth
	# A second, within a histogram's error.
	for service in $services; do
		lab_assert 'd["variants"][2]["measured"]["handshake_s"]["p50"] >= 0.875' "$(lab_api GET "/v1/services/$service")"
	done
}

test_retransmissions_are_those_that_both_kernels_count()
{
	local service
	trap 'lose_nothing green2 client' EXIT
	lose_first "tcp flags & psh == psh" green2 client
	clients_of_all '{"closed": 10}' lossy --connections 10 --concurrency 10 --requests 4
	is_the_truth
	for service in $services; do
		lab_assert '(lambda said: said["client_retransmissions"] >= 40 and
			said["server_retransmissions"] >= 40)(d["variants"][3]["measured"])' "$(lab_api GET "/v1/services/$service")"
	done
}

active_is() # SERVICE COUNT
{
	lab_assert "sum(v['active'] for v in d['variants']) == $2" "$(lab_api GET "/v1/services/$1")"
}

# Their client is another one, that writes nothing down: to be the last but those that need not be compared.
test_active_connections_are_those_that_are_open()
{
	local service number=10
	for service in nat4 dnat6; do
		number=$((number + 7))
		lab_traffic_start client "open-$service" keepalive --idle --url-host "${vip[$service]}" \
			--port "${port[$service]}" --source "$(source_of $service blue)" --connections $number
	done
	lab_wait "the open ones of nat4" active_is nat4 17
	lab_wait "the open ones of dnat6" active_is dnat6 24
	lab_assert 'd["broken"] == 0' "$(lab_traffic_stop open-nat4)"
	lab_assert 'd["broken"] == 0' "$(lab_traffic_stop open-dnat6)"
	lab_wait "nat4 to have none" active_is nat4 0
	lab_wait "dnat6 to have none" active_is dnat6 0
}

# What is seen of a sample of 1 in 16, times 16: binomial, so five standard deviations are passed once in two million runs.
test_a_sample_stands_for_all()
{
	local name within='abs(said - truth) <= 5 * (2000 * 15) ** 0.5 * (truth / 2000)'
	lab_assert 'd == {"closed": 2000}' "$(clients part blue --connections 2000 --requests 3 --paths /,/status/503,/ --concurrency 32)"
	lab_api GET /v1/services/part >"$LAB/part.json"
	lab_assert 'd["sampled"] == {"one_in": 16, "exact": False} and d["variants"][0]["opened"] == 2000' "$(cat "$LAB/part.json")"
	for name in connections:2000 established:2000 closed:2000 requests:6000 responses:6000; do
		lab_assert "(lambda said, truth: said % 16 == 0 and $within)(d['variants'][0]['measured']['${name%:*}'], ${name#*:})" \
			"$(cat "$LAB/part.json")"
	done
	lab_assert "(lambda said, truth: $within)(d['variants'][0]['measured']['status']['5xx'], 2000)" "$(cat "$LAB/part.json")"
	lab_assert 'd["variants"][0]["measured"]["status"]["5xx"] * 3 == d["variants"][0]["measured"]["responses"]' \
		"$(cat "$LAB/part.json")"
}

failures_are_counted() # SERVICE
{
	lab_assert '[v["measured"]["failed"] for v in d["variants"]] == [0, 0, 0, 0, 8]' "$(lab_api GET "/v1/services/$1")"
}

# So long may a client be silent between two SYNs, and still come with another one.
test_connections_that_nobody_answered_are_counted_as_failed()
{
	local service left
	left=$(($(cat "$LAB/last-syn") + 36 - $(date +%s)))
	[ $left -le 0 ] || sleep $left
	for service in $services; do
		LAB_WAIT_S=10 lab_wait "$service's failures" failures_are_counted "$service"
	done
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
number=11
for host in blue1 blue2 green1 green2; do
	lab_host $host back 10.20.0.$number fd00:20::$number
	lab_default_route $host
	lab_start $host "truth-$host" "$truth" server --port 8000 8001 8002 --name "${host%[12]} $host" --log "$LAB/$host.truth"
	number=$((number + 1))
done
for variant in shut deaf lossy mute; do
	lab_address client "${client4[$variant]}"
	lab_address client "${client6[$variant]}"
done
lab_exec green1 nft -f - <<-END
	table inet mute {
		chain input {
			type filter hook input priority 0;
			tcp dport 8100-8101 drop
		}
	}
END
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests measure
