#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat l2dsr ipip gue
# attach: tc
#
# What each mode carries between real clients and servers: requests, bytes by the megabyte, datagrams in fragments, and
# the ICMP that keeps them going. Clients are behind a router, whose link to them is narrowed in the middle of a transfer.
# No host of the splitter's has a service's address.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

vips=(10.0.0.10 fd00:aa::10)
outside=(4 6) # the family of each one's backends
overhead=(0 0)
case $mode in
l2dsr | ipip | gue) LAB_ARMS=1 ;;&
ipip | gue)
	vips+=(10.0.0.11 fd00:aa::11)
	outside+=(6 4)
	;;&
ipip) overhead=(20 40 40 20) ;;
gue) overhead=(32 52 52 32) ;;
esac
bytes=$((64 << 20))

# Backends of a variant: blue1 and blue2 are .11 and .12, green1 is .13.
backends() # FAMILY PORT LAST...
{
	local family=$1 port=$2 last list=
	shift 2
	for last; do
		if [ "$family" = 4 ]; then
			list+="${list:+, }\"10.20.0.$last:$port\""
		else
			list+="${list:+, }\"[fd00:20::$last]:$port\""
		fi
	done
	echo "[$list]"
}

configuration()
{
	local i service name protocol port
	if [ "$LAB_ARMS" -eq 1 ]; then lab_interfaces front; else lab_interfaces front back; fi
	echo "services:"
	for i in "${!vips[@]}"; do
		for service in web/tcp/8000 echo/udp/5000 closed/udp/5001; do
			IFS=/ read -r name protocol port <<<"$service"
			cat <<-END_OF_SERVICE
				  $name$i:
				    {address: "${vips[i]}", port: $port, protocol: $protocol, forward: $mode, variants: {
				      blue:  {weight: 70, backends: $(backends "${outside[i]}" "$port" 11 12)},
				      green: {weight: 30, backends: $(backends "${outside[i]}" "$port" 13)}}}
			END_OF_SERVICE
		done
	done
}

carry() # SUBCOMMAND ADDRESS [OPTION...]
{
	lab_exec client "$LAB_SOURCE/carry.py" "$@"
}

decap() # HOST ARG...
{
	local host=$1
	shift
	lab_exec "$host" "$LAB_BUILD/headgate-decap" "$@" --pins "$LAB/bpf/decap-$host"
}

service() # NAME
{
	lab_api GET "/v1/services/$1"
}

url() # INDEX
{
	[[ ${vips[$1]} != *:* ]] || { echo "http://[${vips[$1]}]:8000"; return; }
	echo "http://${vips[$1]}:8000"
}

test_requests_are_split_by_weight_and_all_answered()
{
	local i round singles kept after
	for i in "${!vips[@]}"; do
		singles=$(lab_traffic client requests --url-host "${vips[i]}" --port 8000 --count 400)
		lab_assert 'd["failed"] == 0 and d["requests"] == 400 and 0.18 < d["variants"]["green"] / 400 < 0.42' "$singles"
		lab_assert 'set(d["hosts"]) == {"blue1", "blue2", "green1"}' "$singles"
		lab_traffic_start client "kept$i" keepalive --idle --url-host "${vips[i]}" --port 8000 --connections 40
		for round in 1 2 3 4 5; do lab_traffic_again "kept$i" $round >"$LAB/round"; done
		kept=$(lab_traffic_stop "kept$i")
		lab_assert 'd["broken"] == 0 and d["moved"] == 0 and d["requests"] == 40 * 6' "$kept"
		after=$(service "web$i")
		lab_assert '{v["name"]: v["opened"] for v in d["variants"]} == {n: singles["variants"][n] + kept["variants"].get(n, 0)
			for n in ("blue", "green")}' "$after" singles="$singles" kept="$kept"
	done
}

# What a host believes of the path to an address; empty: nobody has told it anything.
path_mtu() # HOST ADDRESS
{
	ip -n "$LAB_NAME-$1" route get "$2" | sed -n 's/.* mtu \([0-9]*\).*/\1/p'
}

forget_path_mtu() # HOST...
{
	local host
	for host; do
		ip -n "$LAB_NAME-$host" -4 route flush cache
		ip -n "$LAB_NAME-$host" -6 route flush cache
	done
}

test_a_download_is_whole()
{
	local i
	for i in "${!vips[@]}"; do
		lab_exec client curl -sSf -m 60 -o "$LAB/downloaded" "$(url "$i")/file/large"
		cmp "$LAB/downloaded" "$LAB/files/large"
	done
	rm "$LAB/downloaded"
}

# What a full-sized segment does not fit into is told so to the client.
test_an_upload_is_whole_and_its_segments_fit_the_tunnel()
{
	local i mtu
	for i in "${!vips[@]}"; do
		forget_path_mtu client
		lab_assert 'd["answers"]["too_big"] == d["drops"]["too_big"] == 0' "$(service "web$i")"
		lab_exec client curl -sSf -m 60 -T "$LAB/files/large" "$(url "$i")/upload/large"
		cmp "$LAB"/*/upload/large "$LAB/files/large"
		rm "$LAB"/*/upload/large
		mtu=$(path_mtu client "${vips[i]}")
		if [ "${overhead[i]}" -eq 0 ]; then
			[ -z "$mtu" ] || lab_fail "${vips[i]}: a path of $mtu bytes"
			lab_assert 'd["answers"]["too_big"] == d["drops"]["too_big"] == 0' "$(service "web$i")"
		else
			[ "$mtu" = $((1500 - overhead[i])) ] || lab_fail "${vips[i]}: a path of $mtu bytes"
			lab_assert '0 < d["answers"]["too_big"] <= d["drops"]["too_big"]' "$(service "web$i")"
		fi
	done
}

narrow() # MTU: of the router's link to the client
{
	ip -n "$LAB_NAME-router" link set home mtu "$1"
}

# The address that servers answer to.
known_as() # INDEX CLIENT
{
	if [ "$mode" != nat ]; then
		echo "$2"
	elif [[ ${vips[$1]} = *:* ]]; then
		echo fd00:20::1
	else
		echo 10.20.0.1
	fi
}

test_the_backend_of_a_connection_and_no_other_hears_of_a_narrower_path()
{
	local i open host mtu
	trap 'narrow 1500' EXIT
	for i in "${!vips[@]}"; do
		narrow 1500
		forget_path_mtu blue1 blue2 green1
		lab_start client "narrowed$i" "$LAB_SOURCE/carry.py" download "${vips[i]}" --port 8000 --path /file/large \
			--pause $((bytes / 4))
		open=$(lab_wait "the first bytes" lab_event "narrowed$i" open)
		for host in blue1 blue2 green1; do
			mtu=$(path_mtu $host "$(known_as "$i" "$(lab_json 'd["local"]' "$open")")")
			[ -z "$mtu" ] || lab_fail "$host is told $mtu too early"
		done
		narrow 1300
		lab_signal USR1 "narrowed$i"
		lab_assert "d['status'] == 200 and d['received'] == $bytes and d['sha256'] == '$sha256'" \
			"$(LAB_WAIT_S=60 lab_wait "the rest" lab_event "narrowed$i" end)"
		for host in blue1 blue2 green1; do
			mtu=$(path_mtu $host "$(known_as "$i" "$(lab_json 'd["local"]' "$open")")")
			[ "$host ${mtu:-none}" = "$(lab_json "'$host ' + ('1300' if d['host'] == '$host' else 'none')" "$open")" ] ||
				lab_fail "${vips[i]}: $host is told: ${mtu:-nothing}" "$open"
		done
	done
}

echoes() # INDEX: answered for the service's address, which its first service counts
{
	lab_json "sum(s['answers']['echo'] for s in d['services'] if s['address'] == '${vips[$1]}')" \
		"$(lab_api GET /v1/services)"
}

test_an_address_that_no_host_has_answers_echo_requests()
{
	local i before
	for i in "${!vips[@]}"; do
		before=$(echoes "$i")
		lab_assert 'd == {"answered": 20, "wrong": 0}' "$(carry ping "${vips[i]}" --count 20)"
		lab_assert 'd == {"answered": 5, "wrong": 0}' "$(carry ping "${vips[i]}" --count 5 --bytes 1400)"
		[ "$(echoes "$i")" -eq $((before + 25)) ] || lab_fail "${vips[i]}: $before, then $(echoes "$i")"
	done
	before=$(echoes 0)/$(echoes 1)
	lab_assert 'd == {"answered": 3, "wrong": 0}' "$(carry ping 10.10.0.1 --count 3)"
	lab_assert 'd == {"answered": 3, "wrong": 0}' "$(carry ping fd00:10::1 --count 3)"
	[ "$(echoes 0)/$(echoes 1)" = "$before" ] || lab_fail "the host's own address is answered for"
}

# In a tunnel the first fragment of full size is told what fits; its datagram is lost, and sent again.
test_datagrams_in_fragments_are_answered()
{
	local i lost
	for i in "${!vips[@]}"; do
		forget_path_mtu client
		lost=$((overhead[i] > 0))
		lab_assert "d == {'sent': 40, 'answered': 40, 'wrong': 0, 'hosts': ['blue1', 'blue2', 'green1']}" \
			"$(carry datagrams "${vips[i]}" --port 5000 --count 40)"
		lab_assert "d['sent'] == 20 + $lost and d['answered'] == 20 and d['wrong'] == 0" \
			"$(carry datagrams "${vips[i]}" --port 5000 --count 20 --bytes 4000 --tries 5 --timeout 1)"
	done
}

test_clients_hear_of_a_port_where_nobody_listens()
{
	local i
	for i in "${!vips[@]}"; do
		lab_assert 'd == {"told": 10}' "$(carry refused "${vips[i]}" --port 5001 --count 10)"
	done
}

# But what was too big for a tunnel, and the later fragments of such.
test_nothing_else_was_dropped()
{
	local host told=""
	if [ "${overhead[0]}" -ne 0 ]; then
		told='"too_big", "lone_fragment"'
		for host in blue1 blue2 green1; do
			lab_assert "d['interfaces'][0]['decapsulated']['$mode'] > 0 and not any(d['interfaces'][0]['dropped'].values())" \
				"$(decap "$host" status -o json)"
		done
	fi
	lab_assert "all(count == 0 for s in d['services'] for why, count in s['drops'].items() if why not in [$told])" \
		"$(lab_api GET /v1/services)"
}

# The client, and between it and all others the router.
far_client()
{
	local end host interface ipv4 ipv6
	lab_namespace client
	lab_host router front 10.10.0.9 fd00:10::9
	ip -n "$LAB_NAME-router" link add home type veth peer name eth0 netns "$LAB_NAME-client"
	for end in router/home/10.30.0.1/fd00:30::1 client/eth0/10.30.0.2/fd00:30::2; do
		IFS=/ read -r host interface ipv4 ipv6 <<<"$end"
		lab_exec "$host" ethtool -K "$interface" tx off tso off gso off >/dev/null
		ip -n "$LAB_NAME-$host" -batch - <<-END
			link set $interface up
			address add $ipv4/16 dev $interface
			address add $ipv6/64 dev $interface nodad
		END
	done
	ip -n "$LAB_NAME-client" -batch - <<-END
		route add default via 10.30.0.1
		route add default via fd00:30::1
	END
	lab_exec router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	lab_exec client sysctl -qw net.ipv4.ping_group_range="0 0"
	to_client splitter
}

to_client() # HOST
{
	ip -n "$LAB_NAME-$1" -batch - <<-END
		route add 10.30.0.0/16 via 10.10.0.9
		route add fd00:30::/64 via fd00:10::9
	END
}

backend() # HOST VARIANT LAST
{
	local host=$1 vip
	lab_host "$host" back "10.20.0.$3" "fd00:20::$3"
	# Every error is told, not one a second.
	lab_exec "$host" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	if [ "$mode" = dnat ]; then
		lab_default_route "$host"
	elif [ "$mode" != nat ]; then
		lab_exec "$host" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
		ip -n "$LAB_NAME-$host" address add "10.10.1.$3/16" dev eth0
		ip -n "$LAB_NAME-$host" address add "fd00:10::1:$3/64" dev eth0
		to_client "$host"
		for vip in "${vips[@]}"; do
			ip -n "$LAB_NAME-$host" address add "$vip" dev lo
		done
	fi
	if [ "$mode" = ipip ] || [ "$mode" = gue ]; then
		lab_exec "$host" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
		decap "$host" attach eth0 --mode native "${vips[@]/#/--vip=}" >"$LAB/$host.decap"
	fi
	lab_nginx "$host" "$2"
	lab_udp_echo "$host" "$2"
}

lab_begin
ip -n "$LAB_NAME-splitter" address del 10.0.0.10/24 dev lo
ip -n "$LAB_NAME-splitter" address del fd00:aa::10/64 dev lo
[ "$LAB_ARMS" -eq 1 ] || lab_take_transmitted
far_client
backend blue1 blue 11
backend blue2 blue 12
backend green1 green 13
head -c $bytes /dev/urandom >"$LAB/files/large"
sha256=$(sha256sum "$LAB/files/large" | cut -d' ' -f1)
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "carry $mode"
