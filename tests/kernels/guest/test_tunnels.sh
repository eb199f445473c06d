#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Headgate and the kernel's own tunnels. What the splitter encapsulates is taken out by the kernel of backends that were
# set up by no more than the commands of docs/modes.md; and headgate-decap takes out what a client's kernel encapsulates.
#
#   client ── "front" ── front │splitter│ back ── "back" ── ipip, sit, ip6tnl, any: one backend for each line of docs/modes.md
#   server ──┘                                              answers come back through the splitter, as their router
#
# Of every service port 8000 is in mode ipip, 8001 in gue.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../../lab/lab.sh"

documentation=$LAB_SOURCE/../../docs/modes.md
only_in_first=/proc/sys/net/core/fb_tunnels_only_for_init_net

# Runs on a host what stands between `` in the one line of the documentation that matches, with words replaced.
as_documented() # HOST LINE [SED-EXPRESSION]
{
	local commands
	commands=$(sed -n "s/^$2\$/\1/p" "$documentation")
	if [ -z "$commands" ] || [[ $commands == *$'\n'* ]]; then
		lab_fail "not one line of docs/modes.md is $2" "$commands"
	fi
	lab_exec "$1" bash -ec "PATH=/run:\$PATH; $(sed "${3:-}" <<<"$commands")" # main.sh has put modprobe into /run
}

url() # VIP PORT
{
	[[ $1 != *:* ]] || { echo "http://[$1]:$2"; return; }
	echo "http://$1:$2"
}

# A request, and bytes both ways in segments as large as fit.
answers() # HOST VIP PORT
{
	local at
	at=$(url "$2" "$3")
	[ "$(lab_exec client curl -sSf -m 20 "$at/")" = "blue $1" ]
	lab_exec client curl -sSf -m 60 -T "$LAB/files/300K" "$at/upload/$3"
	cmp "$LAB/$1/upload/$3" "$LAB/files/300K"
	lab_exec client curl -sSf -m 60 -o "$LAB/downloaded" "$at/file/300K"
	cmp "$LAB/downloaded" "$LAB/files/300K"
}

silent() # VIP PORT
{
	if lab_exec client curl -s -m 1 "$(url "$1" "$2")/"; then
		lab_fail "$1 answers on port $2 already"
	fi
}

# Each step that is documented is needed, and they are enough.
set_up_as_documented() # HOST VIP LINE OUTER-FAMILY OUTER-ADDRESS [INTERFACE-THAT-FILTERS]
{
	local host=$1 vip=$2
	silent "$vip" 8000
	as_documented "$host" "| $3 | \`\(.*\)\` |" "s/fd00:1::11/$5/"
	if [ -n "${6:-}" ]; then
		silent "$vip" 8000
		as_documented "$host" '    \(sysctl .*\.tunl0\.rp_filter=0\)' "s/tunl0/$6/"
	fi
	answers "$host" "$vip" 8000
	silent "$vip" 8001
	as_documented "$host" "| .gue. over $4, besides | \`\(.*\)\` |"
	answers "$host" "$vip" 8001
}

test_a_backend_takes_ipv4_in_ipv4()
{
	set_up_as_documented ipip 10.0.0.10 'IPv4 in IPv4' IPv4 10.20.0.11 tunl0
}

test_a_backend_takes_ipv6_in_ipv4()
{
	set_up_as_documented sit fd00:aa::10 'IPv6 in IPv4' IPv4 10.20.0.12
}

test_a_backend_takes_ipv6_in_ipv6()
{
	set_up_as_documented ip6tnl fd00:aa::11 'IPv6 in IPv6' IPv6 fd00:20::13
}

test_a_backend_takes_ipv4_in_ipv6()
{
	set_up_as_documented any 10.0.0.11 'IPv4 in IPv6' IPv6 fd00:20::14 headgate6
}

test_the_splitter_dropped_nothing_but_what_was_too_big()
{
	lab_assert 'all(count == 0 for s in d["services"] for why, count in s["drops"].items() if why != "too_big")' \
		"$(lab_api GET /v1/services)"
}

decapsulated()
{
	lab_exec server "$LAB_BUILD/headgate-decap" status -o json --pins "$LAB/bpf/decap"
}

# Once in an IP packet, once in UDP and GUE besides.
decap_takes() # VIP SOURCE TYPE LOCAL REMOTE [OPTION...]
{
	local vip=$1 source=$2 kind before encapsulation=() ip=(ip -n "$LAB_NAME-client")
	shift 2
	for kind in ipip gue; do
		[ $kind = ipip ] || encapsulation=(encap gue encap-sport auto encap-dport 6080)
		"${ip[@]}" link delete out 2>/dev/null || true
		"${ip[@]}" link add out type "$1" local "$2" remote "$3" "${@:4}" "${encapsulation[@]}"
		"${ip[@]}" link set out up
		"${ip[@]}" route add "$vip" dev out src "$source"
		before=$(decapsulated)
		answers server "$vip" 8000
		lab_assert "d['interfaces'][0]['decapsulated']['$kind'] - before['interfaces'][0]['decapsulated']['$kind'] > 200" \
			"$(decapsulated)" before="$before"
	done
}

test_decap_takes_ipv4_in_ipv4()
{
	decap_takes 10.0.0.20 10.10.0.2 ipip 10.10.0.2 10.10.0.11
}

test_decap_takes_ipv6_in_ipv4()
{
	decap_takes fd00:aa::20 fd00:10::2 sit 10.10.0.2 10.10.0.11
}

test_decap_takes_ipv6_in_ipv6()
{
	decap_takes fd00:aa::20 fd00:10::2 ip6tnl fd00:10::2 fd00:10::11 mode any encaplimit none
}

test_decap_takes_ipv4_in_ipv6()
{
	decap_takes 10.0.0.20 10.10.0.2 ip6tnl fd00:10::2 fd00:10::11 mode any encaplimit none
}

# It filters as strictly as it can be told to, until the documentation has it do otherwise.
backend() # NAME LAST VIP
{
	lab_host "$1" back "10.20.0.$2" "fd00:20::$2"
	lab_default_route "$1"
	lab_exec "$1" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
	ip -n "$LAB_NAME-$1" address add "$3" dev lo
	lab_nginx "$1" blue
}

decapsulating_server()
{
	lab_host server front 10.10.0.11 fd00:10::11
	lab_exec server sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip -n "$LAB_NAME-server" address add 10.0.0.20 dev lo
	ip -n "$LAB_NAME-server" address add fd00:aa::20 dev lo
	lab_exec server "$LAB_BUILD/headgate-decap" attach eth0 --mode native --vip 10.0.0.20 --vip fd00:aa::20 \
		--pins "$LAB/bpf/decap" >"$LAB/decap"
	lab_nginx server blue
}

service() # NAME ADDRESS BACKEND
{
	local port=8000 mode
	for mode in ipip gue; do
		cat <<-END_OF_SERVICE
			  $1-$mode: {address: "$2", port: $port, protocol: tcp, forward: $mode,
			    variants: {blue: {weight: 1, backends: ["$3:$port"]}}}
		END_OF_SERVICE
		port=$((port + 1))
	done
}

configuration()
{
	echo "interfaces: [{name: front, attach: native}, {name: back, attach: native}]"
	echo "services:"
	service ipip 10.0.0.10 10.20.0.11
	service sit fd00:aa::10 10.20.0.12
	service ip6tnl fd00:aa::11 '[fd00:20::13]'
	service any 10.0.0.11 '[fd00:20::14]'
}

lab_begin
# Every namespace is to have tunl0 and its like, as a host has.
trap 'echo 1 >$only_in_first; lab_end' EXIT
echo 0 >$only_in_first
lab_take_transmitted # by which the client is told what fits a tunnel
# An answer from an address of its own would not be routed.
ip -n "$LAB_NAME-splitter" address delete 10.0.0.10/24 dev lo
ip -n "$LAB_NAME-splitter" address delete fd00:aa::10/64 dev lo
lab_exec splitter sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
lab_host client front 10.10.0.2 fd00:10::2
backend ipip 11 10.0.0.10
backend sit 12 fd00:aa::10
backend ip6tnl 13 fd00:aa::11
backend any 14 10.0.0.11
decapsulating_server
head -c 300K /dev/urandom >"$LAB/files/300K"
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests tunnels
