#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   tests/bench/rates.sh BUILD [PATTERN]
#
# Real packets over veth, and real HTTP, through Headgate and through what else could do its work, on one CPU and in one
# run; writes BUILD/bench/rates.json. docs/performance-rates.md says how. With a PATTERN (of grep -E) only those ways of
# packets are measured whose names it matches, and nothing is written.
#
#   sender ──┬── splitter ────┬── receiver      client ──┬── splitter ──┬── server
#            ├── dnat ────────┤                          ├── router ────┤
#            ├── masquerade ──┤                          └── haproxy ───┘
#            ├── dup ─────────┤
#            └── forwarder ───┘
set -eu

LAB_BUILD=$(realpath "${1:-build}")
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
here=$(dirname "$(realpath "$0")")
wire=$LAB_BUILD/tests/bench/wire/wire
results=$LAB_BUILD/bench
pattern=${2:-}

vip=10.0.0.10
packet_rounds=15
packet_ms=60 # of the processor's work, a measurement
http_rounds=15
http_seconds=1
baselines="dnat masquerade dup"
declare -A urls=([routing]=http://10.22.0.11:8000/ [nat]=http://$vip:8080/ [dnat]=http://$vip:8081/
	[haproxy]=http://10.3.0.1:8000/)

# --- the network ------------------------------------------------------------------------------------------------------

# Without the offloads that veth leaves undone when XDP forwards; the same for whatever is compared. LAB_NAPI=on at an
# end that frames from XDP come to.
cable() # HOST INTERFACE PEER PEER-INTERFACE
{
	ip -n "$LAB_NAME-$1" link add "$2" type veth peer name "$4" netns "$LAB_NAME-$3"
	cable_end "$1" "$2"
	cable_end "$3" "$4"
}

cable_end() # HOST INTERFACE
{
	ip -n "$LAB_NAME-$1" link set "$2" up
	# Not before: a cable that is down does not tell its other end that it has NAPI.
	nsenter --net="/run/netns/$LAB_NAME-$1" ethtool -K "$2" tx off tso off gso off gro "${LAB_NAPI:-off}" >/dev/null
}

# A host between sender and receiver.
between() # HOST
{
	LAB_NAPI=on cable sender "$1" "$1" front
	LAB_NAPI=on cable receiver "$1" "$1" back
	ip -n "$LAB_NAME-$1" -batch - <<-END
		link set front address 02:00:00:00:00:02
		link set back address 02:00:00:00:00:03
		address add 10.10.0.1/16 dev front
		address add 10.20.0.1/16 dev back
		neighbour add 10.10.0.2 lladdr 02:00:00:00:00:01 dev front
		neighbour add 10.20.0.11 lladdr 02:00:00:00:00:11 dev back
		neighbour add 10.20.0.12 lladdr 02:00:00:00:00:12 dev back
		neighbour add 10.20.0.21 lladdr 02:00:00:00:00:21 dev back
	END
	lab_exec "$1" sysctl -qw net.ipv4.ip_forward=1
}

# A host between client and server, with subnets of its own: 10.NUMBER.0.0/24 and 10.2NUMBER.0.0/24.
on_the_way() # HOST NUMBER
{
	cable client "$1" "$1" clients
	cable server "$1" "$1" servers
	ip -n "$LAB_NAME-$1" address add "10.$2.0.1/24" dev clients
	ip -n "$LAB_NAME-$1" address add "10.2$2.0.1/24" dev servers
	ip -n "$LAB_NAME-client" address add "10.$2.0.2/24" dev "$1"
	ip -n "$LAB_NAME-server" address add "10.2$2.0.11/24" dev "$1"
	ip -n "$LAB_NAME-client" route add "10.2$2.0.0/24" via "10.$2.0.1"
	ip -n "$LAB_NAME-server" route add "10.$2.0.0/24" via "10.2$2.0.1"
	lab_exec "$1" sysctl -qw net.ipv4.ip_forward=1
}

network()
{
	local host
	for host in sender receiver client server router haproxy forwarder $baselines; do lab_namespace "$host"; done
	ip -n "$LAB_NAME-splitter" link delete front
	ip -n "$LAB_NAME-splitter" link delete back
	for host in splitter forwarder $baselines; do between "$host"; done
	LAB_NAPI=on on_the_way splitter 1
	on_the_way router 2
	on_the_way haproxy 3
	ip -n "$LAB_NAME-client" route add 10.0.0.0/24 via 10.1.0.1
}

# --- who is compared --------------------------------------------------------------------------------------------------

service() # NAME ADDRESS:PORT PROTOCOL FORWARD BACKENDS [SHADOW]
{
	cat <<-END
		  $1:
		    address: ${2%:*}
		    port: ${2#*:}
		    protocol: $3
		    forward: $4
		    variants:
		      blue: {weight: 1, backends: [$5]}
	END
	[ -z "${6:-}" ] || echo "    shadow: $6"
}

configuration()
{
	local both="10.20.0.11, 10.20.0.12" shadow='backends: ["10.20.0.21:8000"], sample:'
	echo "interfaces: [front, back, clients, servers]"
	echo "services:"
	service nat $vip:8000 tcp nat "$(at_port 8000)"
	service dnat $vip:8001 tcp dnat "$(at_port 8001)"
	service l2dsr $vip:8002 tcp l2dsr "$both"
	service ipip $vip:8003 tcp ipip "$both"
	service plain $vip:8000 udp dnat "$(at_port 8000)"
	service mirrored $vip:8001 udp dnat "$(at_port 8001)" "{$shadow 100}"
	service sampled $vip:8002 udp dnat "$(at_port 8002)" "{$shadow 10}"
	service http-nat $vip:8080 tcp nat '"10.21.0.11:8000"'
	service http-dnat $vip:8081 tcp dnat '"10.21.0.11:8001"'
}

at_port() # PORT
{
	echo "\"10.20.0.11:$1\", \"10.20.0.12:$1\""
}

nftables() # HOST
{
	local copy=
	[ "$1" != dup ] || copy="chain copy { type filter hook prerouting priority mangle;
		ip daddr $vip udp dport 8000 dup to 10.20.0.21 device back; }"
	lab_exec "$1" nft -f - <<-END
		table ip balance {
			$copy
			chain destination {
				type nat hook prerouting priority dstnat;
				ip daddr $vip meta l4proto { tcp, udp } th dport 8000 dnat to jhash ip saddr . th sport mod 2 map { 0: 10.20.0.11, 1: 10.20.0.12 }
			}
			chain source {
				type nat hook postrouting priority srcnat;
				$([ "$1" != masquerade ] || echo oifname back masquerade)
			}
		}
	END
}

haproxy()
{
	cat >"$LAB/haproxy.cfg" <<-END
		global
			nbthread 1
			maxconn 4096
		defaults
			mode tcp
			timeout connect 5s
			timeout client 1m
			timeout server 1m
		listen http
			bind 10.3.0.1:8000
			server one 10.23.0.11:8000
	END
	lab_start haproxy haproxy haproxy -db -f "$LAB/haproxy.cfg"
}

server()
{
	cat >"$LAB/server.conf" <<-END
		daemon off;
		master_process off;
		user root;
		pid $LAB/server.pid;
		error_log $LAB/server.error;
		events { worker_connections 1024; }
		http {
			access_log off;
			keepalive_requests 100000000;
			client_body_temp_path $LAB/files;
			proxy_temp_path $LAB/files;
			fastcgi_temp_path $LAB/files;
			uwsgi_temp_path $LAB/files;
			scgi_temp_path $LAB/files;
			server {
				listen 8000;
				listen 8001;
				location / { return 200 "served\n"; }
			}
		}
	END
	lab_start server nginx nginx -e "$LAB/server.error" -p "$LAB" -c "$LAB/server.conf"
}

# --- what is measured -------------------------------------------------------------------------------------------------

ways()
{
	local flows name
	for flows in 1 10000; do
		name=${flows/10000/10k}
		cat <<-END
			forward_$name forwarder tcp 8000 $flows as_sent
			dnat_$name splitter tcp 8001 $flows routed
			l2dsr_$name splitter tcp 8002 $flows as_sent
			ipip_$name splitter tcp 8003 $flows tunnel
			nat_$name splitter tcp 8000 $flows translated
			nftables_dnat_$name dnat tcp 8000 $flows routed
			nftables_nat_$name masquerade tcp 8000 $flows translated
			unmirrored_$name splitter udp 8000 $flows routed
			mirrored_$name splitter udp 8001 $flows routed
			mirrored_tenth_$name splitter udp 8002 $flows routed
			nftables_dup_$name dup udp 8000 $flows routed
		END
	done
}

# The same services while what is done with copies is done by a thread of its own, whose work does not count: what is
# left is what production pays. On the same CPU, so that the copies' memory is in its cache as it is in production.
ways_of_production()
{
	cat <<-END
		production_unmirrored_10k splitter udp 8000 10000 routed
		production_mirrored_10k splitter udp 8001 10000 routed
		production_mirrored_tenth_10k splitter udp 8002 10000 routed
	END
}

# Processes come and go while this looks.
threads_named() # PATTERN
{
	grep -slx "$1" /proc/[0-9]*/comm | sed 's|/proc/||; s|/comm||' || true
}

measure_packets()
{
	lab_exec sender "$wire" "$LAB_NAME-sender" "$LAB_NAME-receiver" "splitter,forwarder,${baselines// /,}" \
		"$packet_rounds" "$packet_ms" "/proc/$ksoftirqd/schedstat"
}

packets()
{
	local thread
	lab_exec forwarder "$wire" forward front back
	ways | grep -E "$pattern" | measure_packets >"$LAB/packets"
	[ -z "$pattern" ] || return 0
	# A sysfs of that namespace's devices is what `ip netns exec` mounts.
	ip netns exec "$LAB_NAME-splitter" sh -c 'echo 1 >/sys/class/net/hg-shadows/threaded'
	for thread in $(threads_named "napi/hg-shadows.*"); do taskset -pc "$cpu" "$thread" >/dev/null; done
	ways_of_production | measure_packets >>"$LAB/packets"
}

# Whoever works for the requests; their clients are the children of the script that counts.
http()
{
	local processes name arguments=()
	processes=$(lab_pid nginx),$(lab_pid haproxy),$(lab_pid headgated),$ksoftirqd
	for name in "${!urls[@]}"; do arguments+=("http_$name=${urls[$name]}"); done
	lab_exec client "$here/rates.py" http "$LAB/requests" "$processes" "$http_rounds" "$http_seconds" "${arguments[@]}"
}

mkdir -p "$results"
# The last CPU, and all that is started from here on: interrupts, the daemon and the servers share it.
cpu=$(($(nproc --all) - 1))
taskset -pc $cpu $$ >/dev/null
ksoftirqd=$(threads_named "ksoftirqd/$cpu")
lab_begin
network
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
for host in $baselines; do nftables "$host"; done
server
haproxy
for url in "${urls[@]}"; do lab_wait "$url" lab_exec client curl -sf -o "$LAB/first" "$url"; done
packets
if [ -n "$pattern" ]; then
	"$here/rates.py" summary "$LAB/packets" /dev/null >/dev/null
	exit
fi
http
"$here/rates.py" summary "$LAB/packets" "$LAB/requests" >"$results/rates.json.new"
mv "$results/rates.json.new" "$results/rates.json"
