# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A lab: network namespaces with real servers and clients around a splitter. To be sourced, by bash, as root.
#
#   clients ── bridge "front" ── front │splitter│ back ── bridge "back" ── backends
#   10.10.0.0/16, fd00:10::/64            VIPs               10.20.0.0/16, fd00:20::/64
#                             10.0.0.0/24, fd00:aa::/64
#
# Both bridges are in a namespace of their own. In a one-armed lab there is only "front": both subnets are on it, and
# the splitter's one interface has both addresses.
# Every lab has its own names, and everything of it is under $LAB. What it started is ended by pid when the shell that
# called lab_begin exits; a lab whose shell was killed is swept by the next one to begin.

LAB_ROOT=/run/headgate-lab
PATH=$PATH:/usr/sbin:/sbin
LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_BUILD=${LAB_BUILD:-$LAB_SOURCE/../../build}
LAB=
LAB_ATTACH=${LAB_ATTACH:-} # native, generic or tc; empty: the configuration does not say
LAB_ARMS=2 # 1, set before lab_begin: a one-armed lab
LAB_PORTS="8000 8001 8002 8003" # of every nginx

# --- processes: each is a line "pid start-time name" in $LAB/processes ------------------------------------------------

# When a process started, in clock ticks since boot: with its pid, a name that is never used twice. Empty: it has ended.
lab_start_time() # PID
{
	local line fields
	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
	read -ra fields <<<"${line##*) }"
	[ "${fields[0]}" = Z ] || echo "${fields[19]}"
}

lab_is_alive() # PID START-TIME
{
	[ -n "$2" ] && [ "$(lab_start_time "$1")" = "$2" ]
}

lab_track() # PID NAME
{
	echo "$1 $(lab_start_time "$1") $2" >>"$LAB/processes"
}

# Runs in a child of the shell: becomes the command, in the host's namespace. nsenter, as `ip netns exec` hides bpffs.
lab_become() # HOST NAME CMD...
{
	local host=$1 name=$2
	shift 2
	lab_track "$BASHPID" "$name"
	exec nsenter --net="/run/netns/$LAB_NAME-$host" -- "$@"
}

# In the foreground, but so that a signal to this shell is not kept waiting.
lab_exec() # HOST CMD...
{
	local host=$1
	shift
	(lab_become "$host" exec "$@") <&0 &
	wait $!
}

# In the background; output in $LAB/NAME.log (stdout) and $LAB/NAME.err (stderr).
lab_start() # HOST NAME CMD...
{
	local host=$1 name=$2
	shift 2
	: >"$LAB/$name.log"
	(lab_become "$host" "$name" "$@") <"/dev/null" >"$LAB/$name.log" 2>>"$LAB/$name.err" &
	# Until it is tracked, lab_pid would not know it.
	while kill -0 $! 2>/dev/null && ! grep -q "^$! " "$LAB/processes"; do sleep 0.002; done
	disown $! 2>/dev/null || true
}

# The pid of a process by name; the last one started. Fails when it is not alive.
lab_pid() # NAME
{
	local pid start name found=1
	while read -r pid start name; do
		[ "$name" = "$1" ] && lab_is_alive "$pid" "$start" && found=$pid
	done <"$LAB/processes"
	[ "$found" != 1 ] && echo "$found"
}

lab_signal() # SIGNAL NAME
{
	local pid
	pid=$(lab_pid "$2") && kill "-$1" "$pid"
}

# Signals a process and waits until it has ended.
lab_stop() # NAME [SIGNAL]
{
	lab_signal "${2:-TERM}" "$1" || return 0
	lab_wait "$1 to end" lab_ended "$1"
}

lab_ended() # NAME
{
	! lab_pid "$1" >/dev/null
}

# Tries a command every 20 ms for 10 s (LAB_WAIT_S); its last output is printed.
lab_wait() # WHAT CMD...
{
	local what=$1 deadline=$((SECONDS + ${LAB_WAIT_S:-10})) output
	shift
	until output=$("$@" 2>&1); do
		if [ $SECONDS -ge $deadline ]; then
			echo "waited in vain for $what: $output" >&2
			return 1
		fi
		sleep 0.02
	done
	[ -z "$output" ] || echo "$output"
}

# --- beginning and ending ---------------------------------------------------------------------------------------------

lab_begin()
{
	[ "$(id -u)" -eq 0 ] || { echo "lab: must be root" >&2; return 1; }
	LAB_NAME=hg$$-$RANDOM
	LAB=$LAB_ROOT/$LAB_NAME
	trap lab_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -p "$LAB_ROOT"
	{
		flock 9
		lab_sweep
		mkdir "$LAB" "$LAB/bpf" "$LAB/files"
		echo "$$ $(lab_start_time $$)" >"$LAB/owner"
		: >"$LAB/processes"
		: >"$LAB/namespaces"
	} 9>"$LAB_ROOT/lock"
	mount -t bpf bpf "$LAB/bpf"
	chmod 755 "$LAB"

	lab_namespace switch
	lab_namespace splitter
	lab_segment front
	lab_port splitter front front 10.10.0.1 fd00:10::1
	if [ "$LAB_ARMS" -eq 2 ]; then
		lab_segment back
		lab_port splitter back back 10.20.0.1 fd00:20::1
	else
		lab_address splitter 10.20.0.1 front
		lab_address splitter fd00:20::1 front
		lab_take_transmitted
	fi
	ip -n "$LAB_NAME-splitter" address add 10.0.0.10/24 dev lo
	ip -n "$LAB_NAME-splitter" address add fd00:aa::10/64 dev lo nodad
}

# Ends this lab. Only for the shell that began it: its trap calls it.
lab_end()
{
	[ -n "$LAB" ] || return 0
	trap - EXIT
	trap '' INT TERM
	lab_remove "$LAB"
	LAB=
}

# Removes what is left of labs whose shell is dead; call with $LAB_ROOT/lock held.
lab_sweep()
{
	local lab pid start
	for lab in "$LAB_ROOT"/*/; do
		pid=0 start=
		[ -d "$lab" ] || continue
		{ read -r pid start <"$lab/owner"; } 2>/dev/null || true
		lab_is_alive "$pid" "$start" || lab_remove "${lab%/}"
	done
}

lab_remove() # FOLDER
{
	local name try
	for try in TERM 0 0 0 0 0 0 0 0 0 KILL 0 0; do
		lab_signal_all "$1" "$try" || break
		sleep 0.1
	done
	# It may be going at the same time by its own shell's doing.
	while read -r name; do
		ip netns delete "$name" || true
	done <"$1/namespaces" || true
	! mountpoint -q "$1/bpf" || umount "$1/bpf" || true
	rm -rf --one-file-system "$1" || true
} 2>/dev/null

# Signals every process of a lab that is still alive; fails when there is none.
lab_signal_all() # FOLDER SIGNAL
{
	local pid start name found=1
	while read -r pid start name; do
		lab_is_alive "$pid" "$start" && kill "-$2" "$pid" && found=0
	done <"$1/processes"
	return $found
}

# --- the network ------------------------------------------------------------------------------------------------------

lab_namespace() # NAME
{
	local name=$LAB_NAME-$1
	echo "$name" >>"$LAB/namespaces"
	# One at a time: the first one on a host also makes /run/netns a shared mount.
	flock "$LAB_ROOT/lock" ip netns add "$name"
	nsenter --net="/run/netns/$name" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0
	ip -n "$name" link set lo up
}

lab_segment() # NAME
{
	ip -n "$LAB_NAME-switch" -batch - <<-END
		link add $1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		link set $1 up
	END
}

# A cable from a host's interface to a segment. No offloads that veth would leave undone when XDP forwards the frame. At
# the splitter's cable, NAPI (by GRO) at the far end, which native XDP needs to hand frames over; at no other, as the
# merged segments would come to the splitter without checksums.
lab_port() # HOST INTERFACE SEGMENT ADDR4 ADDR6
{
	local host=$LAB_NAME-$1 port=$1 segment=$3
	[ "$1" != splitter ] || port=to-$2
	[ "$LAB_ARMS" -eq 2 ] || segment=front
	ip -n "$host" link add "$2" type veth peer name "$port" netns "$LAB_NAME-switch"
	ip -n "$LAB_NAME-switch" link set "$port" master "$segment" up
	nsenter --net="/run/netns/$host" ethtool -K "$2" tx off tso off gso off >/dev/null
	if [ "$1" = splitter ]; then
		nsenter --net="/run/netns/$LAB_NAME-switch" ethtool -K "$port" gro on tx off tso off gso off >/dev/null
	fi
	ip -n "$host" -batch - <<-END
		link set $2 up
		address add $4/16 dev $2
		address add $5/64 dev $2 nodad
	END
}

# XDP_TX on veth wakes the far end only where that has a program itself: GRO's NAPI is enough for redirected frames alone.
lab_take_transmitted()
{
	lab_foreign_program switch to-front
}

# An XDP program that is not Headgate's, on an interface: it passes everything. Not by `ip link set xdp object`, which
# wants a folder of its own in some bpffs of the host.
lab_foreign_program() # HOST INTERFACE
{
	if [ ! -e "$LAB/bpf/pass" ]; then
		clang -target bpf -O2 -x c -c -o "$LAB/pass.o" - <<-END
			__attribute__((section("xdp"), used)) int pass(void *frame) { return 2; /* XDP_PASS */ }
		END
		bpftool prog load "$LAB/pass.o" "$LAB/bpf/pass" type xdp
	fi
	lab_exec "$1" bpftool net attach xdp pinned "$LAB/bpf/pass" dev "$2"
}

# A host on a segment, with a route to the VIPs if it is a client's ("front").
lab_host() # NAME SEGMENT ADDR4 ADDR6
{
	lab_namespace "$1"
	lab_port "$1" eth0 "$2" "$3" "$4"
	[ "$2" = front ] || return 0
	ip -n "$LAB_NAME-$1" -batch - <<-END
		route add 10.0.0.0/24 via 10.10.0.1
		route add fd00:aa::/64 via fd00:10::1
	END
	lab_greet "$1"
}

# One more address of a host, e.g. in a cohort's prefix.
lab_address() # HOST ADDR [INTERFACE]
{
	local bits=16
	[[ $2 != *:* ]] || bits=64
	ip -n "$LAB_NAME-$1" address add "$2/$bits" dev "${3:-eth0}"
	[ "$1" != splitter ] || return 0
	lab_greet "$1"
	sleep 0.1 # headgated hears of a neighbour a moment after the kernel
}

lab_mac() # HOST INTERFACE
{
	lab_json 'd[0]["address"]' "$(ip -n "$LAB_NAME-$1" -j link show dev "$2")"
}

# The default route through the splitter, that `dnat` asks of backends.
lab_default_route() # HOST
{
	ip -n "$LAB_NAME-$1" -batch - <<-END
		route add default via 10.20.0.1
		route add default via fd00:20::1
	END
}

# A host and the splitter learn each other's MAC from every address, as hosts that live on one segment have.
lab_greet() # HOST
{
	local pairs
	pairs=$(ip -n "$LAB_NAME-$1" -o address show dev eth0 scope global |
		awk '{ sub("/.*", "", $4); to = $4; sub(/^10\.[0-9]+\./, "&0.1 ", to); sub(/^fd00:[0-9a-f]+::/, "&1 ", to)
		       sub(/ .*/, "", to); print $4 "," to }')
	# shellcheck disable=SC2086 # several words
	lab_traffic "$1" greet $pairs
}

# --- what runs in it --------------------------------------------------------------------------------------------------

# A client, and backends blue1, blue2, green1, green2 and canary1 (10.20.0.11 to .15, fd00:20::11 to ::15).
lab_standard() # nat|dnat
{
	local host number=11
	lab_host client front 10.10.0.2 fd00:10::2
	for host in blue1 blue2 green1 green2 canary1; do
		lab_host $host back 10.20.0.$number fd00:20::$number
		[ "$1" != dnat ] || lab_default_route $host
		lab_nginx $host "${host%[12]}"
		lab_udp_echo $host "${host%[12]}"
		number=$((number + 1))
	done
}

# nginx on LAB_PORTS: "VARIANT HOST" for /, downloads of $LAB/files under /file/, PUT under /upload/ into $LAB/HOST/upload.
# The access log has, a line each: client address and port, own port, connection, request of the connection, X-Id header, status.
lab_nginx() # HOST VARIANT
{
	local folder=$LAB/$1 port listen=
	for port in $LAB_PORTS; do
		listen+="listen $port backlog=4096; listen [::]:$port backlog=4096; "
	done
	mkdir -p "$folder/upload" "$folder/temp"
	cat >"$folder/nginx.conf" <<-END
		daemon off;
		master_process off;
		user root;
		pid $folder/nginx.pid;
		error_log $folder/error.log;
		worker_rlimit_nofile 16384;
		events { worker_connections 8192; }
		http {
			log_format lab '\$remote_addr \$remote_port \$server_port \$connection \$connection_requests \$http_x_id \$status';
			access_log $folder/access.log lab;
			client_body_temp_path $folder/temp;
			proxy_temp_path $folder/temp;
			fastcgi_temp_path $folder/temp;
			uwsgi_temp_path $folder/temp;
			scgi_temp_path $folder/temp;
			client_max_body_size 0;
			keepalive_requests 1000000;
			keepalive_timeout 1h;
			sendfile on;
			default_type text/plain;
			server {
				$listen
				location / { return 200 "$2 $1\n"; }
				location /file/ { alias $LAB/files/; }
				location /upload/ { alias $folder/upload/; dav_methods PUT; }
			}
		}
	END
	lab_start "$1" "nginx-$1" nginx -e "$folder/error.log" -p "$folder" -c "$folder/nginx.conf"
	lab_wait "nginx on $1" lab_exec "$1" curl -sf -o "$folder/first" "http://127.0.0.1:$port/"
}

lab_udp_echo() # HOST VARIANT [PORT]
{
	lab_start "$1" "udp-$1" "$LAB_SOURCE/traffic.py" udp-echo-server --port "${3:-5000}" --name "$2 $1"
	lab_wait "UDP echo on $1" lab_udp_listens "$1" "${3:-5000}"
}

lab_udp_listens() # HOST PORT
{
	lab_exec "$1" ss -Hlun "sport = :$2" | grep -q .
}

# A real client in the foreground: its JSON on stdout.
lab_traffic() # HOST SUBCOMMAND [OPTION...]
{
	local host=$1
	shift
	lab_exec "$host" "$LAB_SOURCE/traffic.py" "$@"
}

# A client that stays: waits until it says it is under way. lab_event reads what it says later.
lab_traffic_start() # HOST NAME SUBCOMMAND [OPTION...]
{
	local host=$1 name=$2
	shift 2
	lab_start "$host" "$name" "$LAB_SOURCE/traffic.py" "$@"
	LAB_WAIT_S=30 lab_wait "$name's connections" lab_event "$name" open >/dev/null
}

# The last event of a kind that a client has said; at least the Nth of it.
lab_event() # NAME EVENT [N]
{
	local lines
	lines=$(grep "^{\"event\": \"$2\"" "$LAB/$1.log") || { cat "$LAB/$1.err"; return 1; }
	[ "$(wc -l <<<"$lines")" -ge "${3:-1}" ] && tail -n 1 <<<"$lines"
}

# Ends a client that stays, and prints its summary.
lab_traffic_stop() # NAME
{
	lab_signal TERM "$1" || true
	LAB_WAIT_S=30 lab_wait "$1's summary" lab_event "$1" end
}

# The next request on every connection of `keepalive --idle`; prints how it went.
lab_traffic_again() # NAME ROUND
{
	lab_signal USR1 "$1"
	LAB_WAIT_S=30 lab_wait "$1's round $2" lab_event "$1" round "$2"
}

# The line of a configuration that names its interfaces. LAB_ATTACH: how the programs are to run on them.
lab_interfaces() # INTERFACE...
{
	local name list=
	for name; do
		[ -z "$LAB_ATTACH" ] || name="{name: $name, attach: $LAB_ATTACH}"
		list+="${list:+, }$name"
	done
	echo "interfaces: [$list]"
}

# Starts headgated on a configuration, and waits until its API answers. LAB_UNDER: a command that becomes what it is given,
# such as env or unshare.
lab_splitter() # CONFIG [OPTION...]
{
	local config=$1
	shift
	# shellcheck disable=SC2086 # several words
	lab_start splitter headgated ${LAB_UNDER:-} "$LAB_BUILD/headgated" --config "$config" --socket "$LAB/api.sock" \
		--pins "$LAB/bpf/headgate" --state "$LAB/state.json" "$@"
	# Loading its programs is most of it: longer where the kernel is slow.
	if ! LAB_WAIT_S=$((3 * ${LAB_WAIT_S:-10})) lab_wait "headgated" lab_api_or_end || ! lab_pid headgated >/dev/null; then
		echo "headgated does not answer:" >&2
		tail -n 20 "$LAB/headgated.err" >&2
		return 1
	fi
}

lab_api_or_end()
{
	lab_ended headgated || curl -sf -o "$LAB/version" --unix-socket "$LAB/api.sock" http://headgate/v1/version
}

# Waits until every backend's next hop is known.
lab_hops_known()
{
	lab_wait "every next hop" lab_services_are \
		'all(b["next_hop"] for s in d["services"] for v in s["variants"] for b in v["backends"])'
}

lab_services_are() # EXPRESSION
{
	lab_assert "$1" "$(lab_api GET /v1/services)"
}

lab_headgate() # ARG...
{
	lab_exec splitter "$LAB_BUILD/headgate" --socket "$LAB/api.sock" "$@"
}

# A call of the API without the tool. Prints the body; with LAB_CODE=1 the status code on a line after it.
lab_api() # METHOD PATH [BODY]
{
	curl -sS --unix-socket "$LAB/api.sock" -X "$1" ${3+--data-binary "$3"} ${LAB_CODE:+-w '\n%{http_code}\n'} \
		"http://headgate$2"
}

# --- JSON -------------------------------------------------------------------------------------------------------------

# Prints what a Python expression makes of JSON: d is the document, NAME=JSON are more of them.
lab_json() # EXPRESSION JSON [NAME=JSON...]
{
	/usr/bin/python3 -c '
import json, sys
names = dict(pair.split("=", 1) for pair in sys.argv[3:])
print(eval("(" + sys.argv[1] + ")", {"json": json} | {name: json.loads(text) for name, text in [("d", sys.argv[2]), *names.items()]}))' "$@"
}

# Fails, and shows the JSON, unless the expression is true.
lab_assert() # EXPRESSION JSON [NAME=JSON...]
{
	local is
	is=$(lab_json "$@" 2>&1) || true
	[ "$is" = True ] || lab_fail "not so: $1 (${is##*$'\n'})" "$(tr -s ' \n' ' ' <<<"$2")" "${@:3}"
}

lab_fail() # WHAT [DETAIL...]
{
	printf '%.3000s\n' "$@" >&2
	return 1
}

# --- tests ------------------------------------------------------------------------------------------------------------

# What a suite has to say beside its cases, such as how long something took.
lab_tell() # TEXT...
{
	echo "# $*" >>"$LAB/told"
}

# Runs the functions test_* of the calling script, in its order, each in a shell of its own that stops at the first
# failure. A function's name is what it shows. LAB_FILTER: only those whose name contains it.
lab_run_tests() # PREFIX
{
	local function name failed=0 number=0
	# shellcheck disable=SC2013 # a name has no blanks
	for function in $(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$0"); do
		name="$1: ${function#test_}" name=${name//_/ }
		[[ $name == *"${LAB_FILTER:-}"* ]] || continue
		number=$((number + 1))
		(set -eu; "$function") >"$LAB/test.$number" 2>&1 &
		lab_track $! test
		if wait $!; then
			echo "ok - $name"
			continue
		fi
		failed=1
		echo "not ok - $name"
		sed 's/^/# /' "$LAB/test.$number"
		[ ! -s "$LAB/headgated.err" ] || tail -n 10 "$LAB/headgated.err" | sed 's/^/# headgated: /'
	done
	[ ! -e "$LAB/told" ] || cat "$LAB/told"
	# Only a build with SAN=1 ever says such.
	if grep -H -A 20 -E 'Sanitizer|runtime error:' "$LAB"/*.err 2>/dev/null; then
		failed=1
		echo "not ok - $1: a sanitizer found a mistake"
	fi
	return $failed
}
