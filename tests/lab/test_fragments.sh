#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat l2dsr
# attach: tc generic
#
# Datagrams in fragments, in order and in any other, between real clients and servers.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
[ "$mode" != l2dsr ] || LAB_ARMS=1

service() # NAME ADDRESS PORT BACKEND
{
	local backend=$4:$3
	[ "$mode" != l2dsr ] || backend=$(tr -d '[]' <<<"$4")
	echo "  $1: {address: \"$2\", port: $3, protocol: udp, forward: $mode, variants: {blue: {weight: 1, backends: [\"$backend\"]}}}"
}

configuration()
{
	if [ "$mode" = l2dsr ]; then
		lab_interfaces front
	else
		lab_interfaces front back
	fi
	printf 'services:\n'
	service echo4 10.0.0.10 5000 10.20.0.11
	service echo6 fd00:aa::10 5000 '[fd00:20::11]'
	service back4 10.0.0.10 5001 10.20.0.11
	service back6 fd00:aa::10 5001 '[fd00:20::11]'
}

fragments() # HOST COMMAND [OPTION...]
{
	local host=$1
	shift
	lab_exec "$host" "$LAB_SOURCE/fragments.py" "$@"
}

serve() # HOST ADDRESS PORT [--reversed]
{
	lab_start "$1" "serve-$2-$3" "$LAB_SOURCE/fragments.py" serve --address "$2" --port "$3" "${@:4}"
	lab_wait "the server at $2:$3" listens "$1" "$2" "$3"
}

listens() # HOST ADDRESS PORT
{
	lab_exec "$1" ss -Hlun "sport = :$3" | grep -qF "$2"
}

answers_all() # HOST ADDRESS PORT [OPTION...]
{
	local result
	result=$(fragments "$1" exchange --to "$2" --port "$3" --tries 3 "${@:4}")
	lab_assert 'd["sent"] > 0 and d["answered"] == d["sent"] and d["wrong"] == 0' "$result" \
		early="$(lab_json 'json.dumps(d["early_fragments"])' "$(lab_api GET /v1/status)")"
	echo "$result"
}

early() # resent|dropped
{
	lab_json "d['early_fragments']['$1']" "$(lab_api GET /v1/status)"
}

lone() # SERVICE
{
	lab_json 'd["drops"]["lone_fragment"]' "$(lab_api GET "/v1/services/$1")"
}

has_counted() # SERVICE COUNT
{
	lab_assert "d['drops']['lone_fragment'] == $2" "$(lab_api GET "/v1/services/$1")"
}

# --- in order ---------------------------------------------------------------------------------------------------------

kernel_fragments_are_echoed() # ADDRESS
{
	local bytes
	for bytes in 4000 8000; do
		lab_assert 'd["answered"] == d["sent"] == 20' \
			"$(fragments client kernel --to "$1" --port 5000 --bytes "$bytes" --count 20)"
	done
}

test_datagrams_that_the_kernel_divides_are_answered_over_ipv4() { kernel_fragments_are_echoed 10.0.0.10; }
test_datagrams_that_the_kernel_divides_are_answered_over_ipv6() { kernel_fragments_are_echoed fd00:aa::10; }

# --- in other orders --------------------------------------------------------------------------------------------------

any_order_is_answered() # ADDRESS
{
	local before result
	before=$(early resent)
	answers_all client "$1" 5000 --bytes 4000 --order ordered
	# Of six orders of three fragments, two have none too early, two have one, two have two. Each has come in again once,
	# and so have those of a datagram that was lost and sent once more, as far as they came here.
	result=$(answers_all client "$1" 5000 --bytes 4000 --order every)
	lab_assert '6 <= resent <= e["early"] and (e["lost"] > 0 or e["early"] == 6)' "$result" e="$result" \
		resent=$(($(early resent) - before))
	answers_all client "$1" 5000 --bytes 8000 --order reversed
	answers_all client "$1" 5000 --bytes 8000 --order odd-first
	answers_all client "$1" 5000 --bytes 8000 --order reversed --together 5
}

test_every_order_is_answered_over_ipv4() { any_order_is_answered 10.0.0.10; }
test_every_order_is_answered_over_ipv6() { any_order_is_answered fd00:aa::10; }

test_answers_in_reverse_order_reach_the_client()
{
	local address
	for address in 10.0.0.10 fd00:aa::10; do
		answers_all client $address 5001 --bytes 4000 --order ordered
		answers_all client $address 5001 --bytes 8000 --order reversed --together 3
	done
}

# --- what is not a service's ------------------------------------------------------------------------------------------

test_a_service_address_port_of_the_host_itself_is_answered_in_any_order()
{
	local address
	for address in 10.0.0.10 fd00:aa::10; do
		serve splitter $address 7000
		answers_all client $address 7000 --order every
		answers_all client $address 7000 --bytes 8000 --order reversed --together 3
	done
}

test_the_hosts_own_address_is_answered_without_delay_by_us()
{
	local before
	before=$(early resent)
	serve splitter 10.10.0.1 7001
	answers_all client 10.10.0.1 7001 --order every
	[ "$(early resent)" = "$before" ] || lab_fail "held, though to an address of the host"
}

# What the backend sends on its own account, to a client's server, by this host's forwarding.
test_what_a_backend_sends_elsewhere_is_forwarded_by_the_host_in_any_order()
{
	[ "$mode" != l2dsr ] || return 0
	lab_exec splitter sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ip -n "$LAB_NAME-client" route add 10.20.0.0/16 via 10.10.0.1
	ip -n "$LAB_NAME-client" route add fd00:20::/64 via fd00:10::1
	serve client 10.10.0.2 7002
	serve client fd00:10::2 7002
	answers_all blue1 10.10.0.2 7002 --source 10.20.0.11 --order every
	answers_all blue1 fd00:10::2 7002 --source fd00:20::11 --order every
	answers_all blue1 10.10.0.2 7002 --source 10.20.0.11 --bytes 8000 --order reversed
	lab_exec splitter sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

test_a_vlan_tag_is_kept()
{
	lab_exec switch ethtool -K to-front txvlan off >/dev/null # in the frame, where XDP sees it
	local mac
	mac=$(ip -n "$LAB_NAME-splitter" -j link show front | lab_json 'd[0]["address"]' "$(cat)")
	lab_start blue1 capture tcpdump -i eth0 -nn -e -l -c 3 vlan 7
	lab_wait "tcpdump" grep -q listening "$LAB/capture.err"
	for _ in 1 2 3 4 5; do # a datagram may be lost anywhere for reasons of its own
		fragments client tagged --to 10.0.0.10 --port 5000 --mac "$mac"
		LAB_WAIT_S=2 lab_wait "the fragments" lab_ended capture && break
	done
	lab_ended capture || lab_fail "no three fragments of five datagrams arrived"
	[ "$(grep -c 'vlan 7' "$LAB/capture.log")" = 3 ] || lab_fail "other frames:" "$(cat "$LAB/capture.log")"
}

# --- those whose first never comes ------------------------------------------------------------------------------------

test_a_lone_fragment_is_held_once_and_then_counted_once()
{
	local family
	for family in 4 6; do
		local address=10.0.0.10 source=10.10.0.3 dropped resent
		[ $family = 4 ] || address=fd00:aa::10 source=fd00:10::3
		dropped=$(lone echo$family)
		resent=$(early resent)
		fragments client lone --to $address --port 5000 --bytes 400 --source $source
		lab_wait "the count" has_counted echo$family $((dropped + 1))
		lab_assert "d['early_fragments']['resent'] == $resent + 1" "$(lab_api GET /v1/status)"
		sleep 0.1
		has_counted echo$family $((dropped + 1))
	done
}

# Kilobytes of memory that are the daemon's own.
own_memory()
{
	awk '/^RssAnon:/ { print $2 }' "/proc/$(lab_pid headgated)/status"
}

test_a_flood_of_lone_fragments_is_bounded()
{
	local before memory asked=0 dropped
	before=$(lone echo4)
	dropped=$(early dropped)
	answers_all client 10.0.0.10 5000 --bytes 8000 # its queue is in memory now
	memory=$(own_memory)
	lab_start client flood "$LAB_SOURCE/fragments.py" lone --to 10.0.0.10 --port 5000 --bytes 400 --count 10000 \
		--source 10.10.0.3
	while lab_pid flood >/dev/null; do
		curl -sSf -m 2 -o "$LAB/answer" --unix-socket "$LAB/api.sock" http://headgate/v1/version
		asked=$((asked + 1))
	done
	[ $asked -gt 0 ] || lab_fail "the flood was over before anything was asked"
	lab_wait "the count of all" has_counted echo4 $((before + 10000))
	[ "$(early dropped)" = "$dropped" ] || lab_fail "the daemon took more than it could hold"
	[ "$(own_memory)" -lt $((memory + 1500)) ] || lab_fail "memory: $memory kB before, $(own_memory) kB after"
	answers_all client 10.0.0.10 5000 --bytes 8000
}

# --- without a daemon -------------------------------------------------------------------------------------------------

test_a_killed_daemon_leaves_order_and_a_new_one_brings_the_rest()
{
	lab_stop headgated KILL
	lab_assert 'd["answered"] == d["sent"] == 5' \
		"$(fragments client kernel --to 10.0.0.10 --port 5000 --bytes 8000 --count 5)"
	lab_assert 'd["answered"] == 0' "$(fragments client exchange --to 10.0.0.10 --port 5000 --timeout 0.2)"
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
	# What the old one has left is too old.
	lab_assert 'd["early_fragments"] == {"resent": 0, "dropped": 2}' "$(lab_api GET /v1/status)"
	answers_all client 10.0.0.10 5000 --order every
	answers_all client fd00:aa::10 5000 --bytes 8000 --order reversed
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
# Of lone fragments, so that none belongs to a datagram that another test has sent.
lab_address client 10.10.0.3
lab_address client fd00:10::3
lab_host blue1 back 10.20.0.11 fd00:20::11
servers="10.20.0.11 fd00:20::11"
if [ "$mode" = l2dsr ]; then
	servers="10.0.0.10 fd00:aa::10"
	lab_exec blue1 sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip -n "$LAB_NAME-blue1" address add 10.0.0.10/32 dev lo
	ip -n "$LAB_NAME-blue1" address add fd00:aa::10/128 dev lo
	lab_address blue1 10.10.1.11
	lab_address blue1 fd00:10::11
else
	lab_default_route blue1
fi
for server in $servers; do
	serve blue1 "$server" 5000
	serve blue1 "$server" 5001 --reversed
done
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "fragments, $mode"
