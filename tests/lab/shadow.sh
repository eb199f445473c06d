# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A lab with a shadow: services web4 and web6 (port 8000), whose clients are on host `client`, production on `blue1` and
# the shadow on `shadow`. All three write down what they sent and got (shadow_server.py, shadow_client.py), and what they
# wrote is compared by shadow_judge.py. To be sourced after lab.sh.

# Every packet of payload that a server sends has its mark in it.
SHADOW_MARK=SHADOW-ANSWER
PRODUCTION_MARK=PRODUCTION
declare -A SHADOW_VIP=([web4]=10.0.0.10 [web6]=fd00:aa::10)
SHADOW_SERVICES="web4 web6"

# In l2dsr, ipip and gue, set LAB_ARMS=1 before lab_begin.
shadow_hosts() # MODE
{
	lab_host client front 10.10.0.2 fd00:10::2
	lab_host blue1 back 10.20.0.11 fd00:20::11
	lab_host shadow back 10.20.0.21 fd00:20::21
	case $1 in
	dnat) lab_default_route blue1 ;;
	l2dsr | ipip | gue) shadow_production_directly "$1" ;;
	esac
	lab_start blue1 production "$LAB_SOURCE/shadow_server.py" http --port 8000 --mark $PRODUCTION_MARK --log "$LAB/production.truth"
	lab_wait "production" shadow_listens blue1 8000
}

# It has the services' addresses, and answers clients itself.
shadow_production_directly() # MODE
{
	lab_exec blue1 sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip -n "$LAB_NAME-blue1" -batch - <<-END
		address add ${SHADOW_VIP[web4]}/32 dev lo
		address add ${SHADOW_VIP[web6]}/128 dev lo
	END
	lab_address blue1 10.10.1.11
	lab_address blue1 fd00:10::1:11
	[ "$1" != l2dsr ] || return 0
	lab_exec blue1 sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
	lab_exec blue1 "$LAB_BUILD/headgate-decap" attach eth0 --mode native --vip="${SHADOW_VIP[web4]}" --vip="${SHADOW_VIP[web6]}" \
		--pins "$LAB/bpf/decap-blue1" >"$LAB/blue1.decap"
}

shadow_listens() # HOST PORT
{
	lab_exec "$1" ss -Hltn "sport = :$2" | grep -q .
}

# (Re)starts the shadow's server, with other options.
shadow_serve() # OPTION...
{
	lab_stop shadow-server KILL
	lab_start shadow shadow-server "$LAB_SOURCE/shadow_server.py" http --port 8000 --mark $SHADOW_MARK \
		--log "$LAB/shadow.truth" "$@"
	lab_wait "the shadow" shadow_listens shadow 8000
}

# The configuration: each line of OPTION is one more of the shadow's.
shadow_configuration() # MODE [OPTION...]
{
	local mode=$1 option
	shift
	if [ "$LAB_ARMS" -eq 1 ]; then lab_interfaces front; else lab_interfaces front back; fi
	cat <<-END
		services:
		  web4:
		    address: 10.0.0.10
		    port: 8000
		    forward: $mode
		    variants: {blue: {weight: 1, backends: ["10.20.0.11:8000"]}}
		    shadow:
		      backends: ["10.20.0.21:8000"]
	END
	for option in "${@:-sample: 100}"; do echo "      $option"; done
	cat <<-END
		  web6:
		    address: "fd00:aa::10"
		    port: 8000
		    forward: $mode
		    variants: {blue: {weight: 1, backends: ["[fd00:20::11]:8000"]}}
		    shadow:
		      backends: ["[fd00:20::21]:8000"]
	END
	for option in "${@:-sample: 100}"; do echo "      $option"; done
}

# Starts headgated on $LAB/headgate.yaml, and waits until its backends and shadows can be reached.
shadow_splitter()
{
	local service
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
	for service in $SHADOW_SERVICES; do
		lab_wait "the shadow of $service" shadow_is_known "$service"
	done
}

shadow_is_known() # SERVICE
{
	lab_assert 'd["backends"] and all(b["hop"] == "reachable" for b in d["backends"])' "$(shadow_status "$1")"
}

shadow_status() # SERVICE
{
	lab_headgate shadow "$1" status -o json
}

# What is said of a service's shadow from now on is counted from here.
shadow_remember() # SERVICE...
{
	local service
	for service; do
		shadow_status "$service" >"$LAB/status.$service"
	done
}

shadow_since() # SERVICE
{
	shadow_status "$1" >"$LAB/status.now"
	"$LAB_SOURCE/shadow_judge.py" since "$LAB/status.$1" "$LAB/status.now"
}

# Waits until no connection of a service is being mirrored any more, and prints what has been said since shadow_remember.
shadow_settled() # SERVICE
{
	LAB_WAIT_S=${LAB_WAIT_S:-20} lab_wait "$1's mirrored connections to end" shadow_is_settled "$1"
	shadow_since "$1"
}

shadow_is_settled() # SERVICE
{
	lab_assert 'd["mirroring"] == 0' "$(shadow_status "$1")"
}

# Clients of a service, whose requests are called RUN in every log. Their JSON is printed.
shadow_clients() # SERVICE RUN [OPTION...]
{
	local service=$1 run=$2
	shift 2
	lab_exec client "$LAB_SOURCE/shadow_client.py" requests --host "${SHADOW_VIP[$service]}" --run "$run" \
		--record "$LAB/client.truth" "$@"
}

# Who of production and the shadow got what the clients of a run sent.
shadow_compare() # RUN [LOG-OF-THE-SHADOW]
{
	"$LAB_SOURCE/shadow_judge.py" compare --run "$1" --client "$LAB/client.truth" --production "$LAB/production.truth" \
		--shadow "${2:-$LAB/shadow.truth}"
}

# Clients whose connections are mirrored: production serves them all, what the shadow got is what was sent, and nothing is
# said to be whole that it did not get. Leaves $LAB/RUN.clients, $LAB/RUN.status (since then) and $LAB/RUN.truth.
shadow_run() # SERVICE RUN [OPTION...]
{
	LAB_WAIT_S=30 lab_wait "connections of $1 before to end" shadow_is_settled "$1"
	shadow_remember "$1"
	shadow_clients "$@" >"$LAB/$2.clients"
	lab_assert 'd["failed"] == 0' "$(cat "$LAB/$2.clients")"
	shadow_settled "$1" >"$LAB/$2.status"
	lab_wait "all that the shadow has" shadow_is_the_truth "$2"
}

# A server may write down a moment later what its kernel has acknowledged.
shadow_is_the_truth() # RUN
{
	shadow_compare "$1" >"$LAB/$1.truth"
	lab_assert 'd["production"]["same"] == d["connections"] and d["production"]["wrong"] == d["shadow"]["wrong"] == 0' \
		"$(cat "$LAB/$1.truth")"
	lab_assert 'd["eligible"] == truth["connections"] and d["whole"] <= truth["shadow"]["same"] and
		d["whole"] + sum(d["ended"].values()) == d["eligible"]' "$(cat "$LAB/$1.status")" truth="$(cat "$LAB/$1.truth")"
}

# Of a run's connections at least so many in a thousand were mirrored whole, as it is said and in truth.
shadow_covered() # RUN PERMILLE
{
	lab_assert "d['coverage'] >= $2 / 1000" "$(cat "$LAB/$1.status")"
	lab_assert "d['shadow']['same'] >= d['connections'] * $2 / 1000" "$(cat "$LAB/$1.truth")"
}

# --- watching ---------------------------------------------------------------------------------------------------------

# Writes down every frame that comes in at a host and is for it.
watch_begin() # HOST
{
	lab_start "$1" "watch-$1" tcpdump -i eth0 -Q in -s 0 -B 65536 -U -Z root -n -w "$LAB/$1.pcap" \
		"ether dst $(lab_mac "$1" eth0)"
	lab_wait "the watch at $1" grep -q 'listening on' "$LAB/watch-$1.err"
}

# Ends a watch. Prints how many frames came, and how many of them are a shadow's.
watch_end() # HOST
{
	sleep 1.1 # so long may tcpdump keep what it has seen
	lab_stop "watch-$1" INT
	grep -q '^0 packets dropped by kernel' "$LAB/watch-$1.err" || lab_fail "the watch missed some:" "$(cat "$LAB/watch-$1.err")"
	"$LAB_SOURCE/shadow_judge.py" leaks --capture "$LAB/$1.pcap" --mark SHADOW- --sign $PRODUCTION_MARK \
		--address 10.20.0.21 fd00:20::21 --mac "$(lab_mac shadow eth0)"
	rm "$LAB/$1.pcap" "$LAB/watch-$1.err"
}

# Connections that the shadow's host still has, but those in TIME-WAIT, which it has ended itself.
shadow_connections()
{
	lab_exec shadow ss -Htan state connected exclude time-wait '( sport = :8000 )'
}

shadow_has_no_connection()
{
	local left
	left=$(shadow_connections)
	[ -z "$left" ] || lab_fail "at the shadow:" "$left"
}
