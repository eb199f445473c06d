#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: native generic tc
#
# headgate-decap on a backend: what comes encapsulated reaches real servers at the VIP, which answer the client straight.
# No splitter takes part; the client's packets are encapsulated by hand, on the client.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

vips=(--vip 10.0.0.10 --vip fd00:aa::10)

decap() # ARG...
{
	lab_exec blue1 "$LAB_BUILD/headgate-decap" "$@" --pins "$LAB/bpf/decap"
}

# Unlike `!`, fails where it stands.
not() # CMD...
{
	! "$@"
}

is_on() # ip|tc PATTERN: in what either says of blue1's interface
{
	if [ "$1" = ip ]; then
		ip -n "$LAB_NAME-blue1" link show dev eth0
	else
		tc -n "$LAB_NAME-blue1" filter show dev eth0 ingress
	fi | grep -q "$2"
}

# A status of one interface, as JSON.
status()
{
	decap status -o json | /usr/bin/python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["interfaces"][0]))'
}

mac_of() # HOST
{
	ip -n "$LAB_NAME-$1" -o link show dev eth0 | sed 's/.*link.ether \([^ ]*\).*/\1/'
}

# What the client sends to the VIPs and to two strangers comes to an address of blue1, encapsulated.
encapsulate() # ipip|gue OUTER-ADDRESS [OPTION...]
{
	local kind=$1 to=$2
	shift 2
	lab_stop encapsulate
	lab_start client encapsulate "$LAB_SOURCE/encapsulate.py" --tun tunnel --device eth0 --kind "$kind" --to "$to" \
		--to-mac "$(mac_of blue1)" --from-mac "$(mac_of client)" "$@"
	lab_wait encapsulator grep -q ready "$LAB/encapsulate.log"
	ip -n "$LAB_NAME-client" -batch - <<-END
		link set tunnel up mtu 1400
		route replace 10.0.0.10/32 dev tunnel src 10.10.0.2
		route replace 10.0.0.99/32 dev tunnel src 10.10.0.2
		route replace fd00:aa::10/128 dev tunnel src fd00:10::2
		route replace fd00:aa::99/128 dev tunnel src fd00:10::2
	END
}

answers() # VIP
{
	lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 20}' \
		"$(lab_traffic client requests --url-host "$1" --port 8000 --count 20)"
	lab_assert 'd["lost"] == 0 and d["wrong"] == 0' \
		"$(lab_traffic client udp-clients --url-host "$1" --port "$2" --count 4 --per 2 | tail -n 1)"
}

answers_over() # ipip|gue OUTER-ADDRESS [OPTION...]
{
	encapsulate "$@"
	answers 10.0.0.10 5004
	answers fd00:aa::10 5006
	lab_assert "d['decapsulated']['$1'] > 0 and not any(d['dropped'].values())" "$(status)"
}

test_nothing_is_answered_without_it()
{
	encapsulate ipip 10.10.0.11
	not lab_exec client curl -s -m 0.5 http://10.0.0.10:8000/
	encapsulate gue fd00:10::11
	not lab_exec client curl -s -m 0.5 'http://[fd00:aa::10]:8000/'
}

test_it_attaches_in_the_mode_that_was_asked_for()
{
	decap attach eth0 "${vips[@]}" --mode "$mode"
	lab_assert "d['mode'] == '$mode' and d['port'] == 6080 and d['sources'] == []" "$(status)"
	lab_assert 'sorted(d["vips"]) == ["10.0.0.10", "fd00:aa::10"]' "$(status)"
	lab_assert 'sorted(d["addresses"]) == ["10.10.0.11", "fd00:10::11"]' "$(status)"
	lab_assert 'sum(d["decapsulated"].values()) == 0' "$(status)"
}

test_servers_answer_over_ipip_in_ipv4() { answers_over ipip 10.10.0.11; }
test_servers_answer_over_ipip_in_ipv6() { answers_over ipip fd00:10::11; }
test_servers_answer_over_gue_in_ipv4() { answers_over gue 10.10.0.11; }
test_servers_answer_over_gue_in_ipv6() { answers_over gue fd00:10::11; }
test_servers_answer_over_ipip_with_a_priority_tag() { answers_over ipip 10.10.0.11 --tag; }
test_servers_answer_over_gue_with_a_priority_tag() { answers_over gue fd00:10::11 --tag; }

# From here on the kernel merges the segments of ipip before a program in tc mode sees them: by GRO, which waits for more
# than one, and on veth is there only where the far end has no TSO. `ip netns exec` for its /sys, of that namespace.
merge_segments()
{
	nsenter --net="/run/netns/$LAB_NAME-switch" ethtool -K blue1 tso off >/dev/null
	nsenter --net="/run/netns/$LAB_NAME-blue1" ethtool -K eth0 gro on >/dev/null
	ip netns exec "$LAB_NAME-blue1" sh -c 'cd /sys/class/net/eth0 && echo 10 >napi_defer_hard_irqs &&
		echo 500000 >gro_flush_timeout'
}

test_bytes_survive()
{
	local outer kind address
	head -c 4M /dev/urandom >"$LAB/files/4M"
	merge_segments
	for outer in 10.10.0.11 fd00:10::11; do
		for kind in ipip gue; do
			encapsulate $kind $outer
			for address in 10.0.0.10 '[fd00:aa::10]'; do
				rm -f "$LAB/blue1/upload/4M"
				lab_exec client curl -sSf -m 20 -T "$LAB/files/4M" "http://$address:8000/upload/4M"
				cmp "$LAB/blue1/upload/4M" "$LAB/files/4M"
				lab_exec client curl -sSf -m 20 -o "$LAB/downloaded" "http://$address:8000/file/4M"
				cmp "$LAB/downloaded" "$LAB/files/4M"
			done
		done
	done
	lab_assert 'not any(d["dropped"].values())' "$(status)"
	[ "$mode" != tc ] || lab_assert 'd["decapsulated"]["ipip"] < 0.8 * d["decapsulated"]["gue"]' "$(status)"
}

send_stranger() # ADDRESS
{
	lab_exec client /usr/bin/python3 -c 'import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
socket.socket(family, socket.SOCK_DGRAM).sendto(b"hello", (sys.argv[1], 5004))' "$1"
}

test_what_is_for_another_address_inside_is_dropped_and_counted()
{
	encapsulate ipip 10.10.0.11
	send_stranger 10.0.0.99
	send_stranger fd00:aa::99
	lab_wait "two drops" status_is 'd["dropped"]["destination"] == 2'
}

status_is() # EXPRESSION
{
	lab_assert "$1" "$(status)"
}

test_attaching_again_changes_the_settings_and_keeps_the_counts()
{
	local before
	before=$(status)
	decap attach eth0 "${vips[@]}" --mode "$mode" --source 10.251.0.0/16 --port 7000
	lab_assert 'd["sources"] == ["10.251.0.0/16"] and d["port"] == 7000' "$(status)"
	lab_assert 'd["decapsulated"]["gue"] == old["decapsulated"]["gue"] > 0' "$(status)" old="$before"
	send_stranger 10.0.0.10
	lab_wait "a drop" status_is 'd["dropped"]["source"] == 1'
	decap attach eth0 "${vips[@]}" --source 10.250.0.0/16 --source fd00:250::/64
	lab_assert "d['mode'] == '$mode' and d['port'] == 6080" "$(status)"
	answers 10.0.0.10 5004
}

# A request every few milliseconds while the program is replaced again and again.
test_attaching_again_loses_nothing()
{
	lab_start client loop "$LAB_SOURCE/traffic.py" requests --url-host 10.0.0.10 --port 8000 --count 400 --concurrency 2
	for _ in 1 2 3 4 5 6 7 8; do
		decap attach eth0 "${vips[@]}"
	done
	lab_wait "the requests" lab_ended loop
	lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 400}' "$(cat "$LAB/loop.log")"
}

test_a_change_of_mode_takes_the_old_program_off()
{
	local other=tc
	[ "$mode" != tc ] || other=native
	decap attach eth0 "${vips[@]}" --mode $other
	lab_assert "d['mode'] == '$other'" "$(status)"
	answers 10.0.0.10 5004
	decap attach eth0 "${vips[@]}" --mode "$mode"
	if [ "$mode" = tc ]; then
		not is_on ip xdp
	else
		not is_on tc .
	fi
	answers 10.0.0.10 5004
}

hints_say() # PATTERN
{
	status | grep -q "$1" || lab_fail "no hint says $1" "$(status)"
}

test_hints_say_what_the_host_still_needs()
{
	nsenter --net="/run/netns/$LAB_NAME-blue1" sysctl -qw net.ipv4.conf.eth0.rp_filter=1 \
		net.ipv4.conf.eth0.arp_ignore=0
	ip -n "$LAB_NAME-blue1" address del 10.0.0.10/32 dev lo
	hints_say 'ip address add 10.0.0.10/32 dev lo'
	hints_say 'net.ipv4.conf.eth0.rp_filter=2'
	hints_say 'net.ipv4.conf.eth0.arp_ignore=1'
	ip -n "$LAB_NAME-blue1" address add 10.0.0.10/32 dev lo
	nsenter --net="/run/netns/$LAB_NAME-blue1" sysctl -qw net.ipv4.conf.eth0.rp_filter=0 \
		net.ipv4.conf.eth0.arp_ignore=1
	lab_assert 'd["hints"] == []' "$(status)"
	decap status | grep -q "^eth0: $mode, GUE on port 6080"
}

test_what_somebody_took_off_is_said_and_can_be_attached_again()
{
	if [ "$mode" = tc ]; then
		tc -n "$LAB_NAME-blue1" filter del dev eth0 ingress
	else
		lab_exec blue1 bpftool link detach pinned "$LAB/bpf/decap/eth0/link"
	fi
	lab_assert 'd["mode"] == "none" and "attach it again" in d["hints"][0]' "$(status)"
	decap attach eth0 "${vips[@]}" --mode "$mode"
	lab_assert "d['mode'] == '$mode'" "$(status)"
	answers 10.0.0.10 5004
}

test_detached_it_leaves_nothing_behind()
{
	decap detach eth0
	[ ! -e "$LAB/bpf/decap" ]
	not is_on ip xdp
	not is_on tc .
	not lab_exec client curl -s -m 0.5 http://10.0.0.10:8000/
	decap status | grep -q 'nothing is attached'
}

refused() # CODE PATTERN ARG...
{
	local want=$1 pattern=$2 output code=0
	shift 2
	output=$(decap "$@" 2>&1) || code=$?
	[ $code -eq "$want" ] || lab_fail "$* exits with $code" "$output"
	grep -q -- "$pattern" <<<"$output" || lab_fail "$* does not say $pattern:" "$output"
	[ ! -e "$LAB/bpf/decap" ] || lab_fail "$* leaves pins"
}

test_wrong_calls_are_refused_with_a_reason()
{
	refused 2 'attach, status or detach'
	refused 2 'there is no atach' atach eth0
	refused 2 'on which interface' attach --vip 10.0.0.10
	refused 2 'say --vip' attach eth0
	refused 2 'not an IPv4 or IPv6 address' attach eth0 --vip 10.0.0.300
	refused 2 'not a prefix' attach eth0 --vip 10.0.0.10 --source 10.0.0.1/8
	refused 2 'not a port' attach eth0 --vip 10.0.0.10 --port 65536
	refused 2 'must be auto' attach eth0 --vip 10.0.0.10 --mode fast
	refused 2 'one interface at a time' attach eth0 10.0.0.10 --vip 10.0.0.10
	refused 2 "none of attach's options" detach eth0 --port 6080
	refused 1 'no interface nosuch0' attach nosuch0 --vip 10.0.0.10
	refused 1 'nothing of headgate-decap is on eth0' detach eth0
	refused 1 'say --address' attach lo --vip 127.0.0.1 --vip ::1 --vip 10.0.0.10 --vip fd00:aa::10
}

test_a_foreign_program_is_refused_by_name()
{
	lab_foreign_program blue1 eth0
	[ "$mode" = tc ] || refused 1 "XDP program 'pass' .*--mode tc.*ip link set dev eth0 xdp off" \
		attach eth0 "${vips[@]}" --mode "$mode"
	refused 1 "XDP program 'pass'" attach eth0 "${vips[@]}"
	decap attach eth0 "${vips[@]}" --mode tc
	answers 10.0.0.10 5004
	decap detach eth0
	is_on ip xdp
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
lab_host blue1 front 10.10.0.11 fd00:10::11
ip -n "$LAB_NAME-blue1" -batch - <<END
	address add 10.0.0.10/32 dev lo
	address add fd00:aa::10/128 dev lo nodad
END
for host in client blue1; do
	nsenter --net="/run/netns/$LAB_NAME-$host" sysctl -qw net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth0.arp_ignore=1 \
		net.ipv4.conf.eth0.arp_announce=2
done
lab_nginx blue1 blue
lab_start blue1 udp4 "$LAB_SOURCE/traffic.py" udp-echo-server --address ::ffff:10.0.0.10 --port 5004 --name "blue blue1"
lab_start blue1 udp6 "$LAB_SOURCE/traffic.py" udp-echo-server --address fd00:aa::10 --port 5006 --name "blue blue1"
lab_wait "UDP echo" lab_udp_listens blue1 5004
lab_wait "UDP echo" lab_udp_listens blue1 5006
lab_run_tests "decap $mode"
