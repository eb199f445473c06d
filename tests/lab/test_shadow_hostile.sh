#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat/tc
#
# A shadow that does everything to be heard: it sends to clients, as the service, as a client, as production and to the
# splitter itself, and floods them all. The splitter's own kernel would forward all that; a shadow's packets never get so far.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

hostile() # OPTION...
{
	lab_exec shadow "$LAB_SOURCE/hostile.py" --to-mac "$(lab_mac splitter back)" --from-mac "$(lab_mac shadow eth0)" \
		--own 10.20.0.21 fd00:20::21 --client 10.10.0.2 fd00:10::2 --vip 10.0.0.10 fd00:aa::10 \
		--splitter 10.20.0.1 fd00:20::1 --production 10.20.0.11 fd00:20::11 --port 8000 9850 "$@"
}

# Ports of the clients' live connections, which a shadow might know.
live_ports()
{
	lab_exec client ss -Htn state established '( dport = :8000 )' | awk '{ sub(".*:", "", $3); print $3 }' | head -n 6
}

watch()
{
	local host
	for host in client blue1; do
		watch_begin $host
	done
}

nobody_heard()
{
	local host said
	for host in client blue1; do
		said=$(watch_end $host)
		lab_assert 'd["marked"] == d["shadow_address"] == 0 and d["frames"] > 0' "$said"
	done
}

# The test's own: without headgated, the same packets reach them.
test_without_headgate_everyone_hears_it()
{
	local sent
	watch
	sent=$(hostile)
	lab_assert 'all(count > 100 for count in d.values())' "$sent"
	lab_assert 'd["marked"] > 100 and d["shadow_address"] > 100' "$(watch_end client)"
	lab_assert 'd["marked"] > 100 and d["shadow_address"] > 100' "$(watch_end blue1)"
}

test_nobody_hears_it_and_live_connections_go_on()
{
	local sent before ports
	shadow_configuration "$mode" "sample: 100" "pause: off" >"$LAB/headgate.yaml"
	shadow_splitter
	watch
	lab_start client live "$LAB_SOURCE/shadow_client.py" requests --host 10.0.0.10 --run live --record "$LAB/client.truth" \
		--connections 20 --concurrency 20 --requests 300 --body 2000 --pause-ms 20
	lab_start client live6 "$LAB_SOURCE/shadow_client.py" requests --host fd00:aa::10 --run live6 --record "$LAB/client.truth" \
		--connections 20 --concurrency 20 --requests 300 --body 2000 --pause-ms 20
	lab_wait "20 connections" are_live
	ports=$(live_ports)
	before=$(strays)
	# shellcheck disable=SC2086 # several words
	sent=$(hostile --client-port $ports)
	lab_assert "$(strays) - $before > 100 and all(count > 1000 for count in d.values())" "$sent"
	LAB_WAIT_S=60 lab_wait "the clients to end" lab_ended live
	LAB_WAIT_S=60 lab_wait "the clients to end" lab_ended live6
	lab_assert 'd["failed"] == 0 and d["requests"] == 6000' "$(cat "$LAB/live.log")"
	lab_assert 'd["failed"] == 0 and d["requests"] == 6000' "$(cat "$LAB/live6.log")"
	nobody_heard
}

are_live()
{
	[ "$(lab_exec client ss -Htn state established '( dport = :8000 )' | wc -l)" -ge 40 ]
}

# Packets of shadows' endpoints that are of no connection.
strays()
{
	lab_json 'd["stray"] + six["stray"]' "$(shadow_status web4)" six="$(shadow_status web6)"
}

# What the splitter sends the shadow: copies, and RSTs to what is no connection's. No answer of its kernel.
test_the_splitter_itself_does_not_answer()
{
	lab_wait "mirrored connections to end" shadow_is_settled web4
	lab_wait "mirrored connections to end" shadow_is_settled web6
	lab_start shadow watch-splitter tcpdump -i eth0 -Q in -s 0 -U -Z root -n -w "$LAB/answers.pcap" \
		"not arp and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)"
	lab_wait "the watch" grep -q 'listening on' "$LAB/watch-splitter.err"
	lab_start splitter own-server "$LAB_SOURCE/shadow_server.py" http --port 9850 --mark SPLITTER --log "$LAB/own.truth"
	lab_wait "the splitter's own server" shadow_listens splitter 9850
	hostile >"$LAB/sent"
	! lab_exec shadow curl -s -m 1 -o "$LAB/got" http://10.20.0.1:9850/1 || lab_fail "it can be reached"
	lab_exec blue1 curl -s -m 5 -o "$LAB/got" http://10.20.0.1:9850/1 || lab_fail "nobody can reach it"
	sleep 1.1
	lab_stop watch-splitter INT
	tcpdump -n -r "$LAB/answers.pcap" 2>"$LAB/tcpdump.err" \
		'not ((tcp and tcp[tcpflags] & tcp-rst != 0) or (ip6 and ip6[6] == 6 and ip6[53] & 4 != 0))' >"$LAB/answers"
	[ ! -s "$LAB/answers" ] || lab_fail "answered:" "$(head -n 5 "$LAB/answers")"
}

test_a_flood_is_heard_by_nobody()
{
	local sent
	watch
	sent=$(hostile --seconds 2 &
		shadow_clients web4 flood --connections 200 >"$LAB/flood.clients"
		wait)
	lab_assert 'd["flood"] > 1000' "$sent"
	lab_assert 'd["failed"] == 0' "$(cat "$LAB/flood.clients")"
	nobody_heard
	lab_assert 'd["production"]["same"] == 200 and d["production"]["wrong"] == d["shadow"]["wrong"] == 0' "$(shadow_compare flood)"
}

lab_begin
shadow_hosts "$mode"
lab_exec splitter sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 \
	net.ipv4.conf.front.rp_filter=0 net.ipv4.conf.back.rp_filter=0
shadow_serve --factor 1
lab_run_tests "hostile shadow $mode"
