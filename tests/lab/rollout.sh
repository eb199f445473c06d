# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A lab for rollouts: services on ports of 10.0.0.10, version blue on `blue1`, canary on `canary1` (and green on `green1`),
# whose faults can be had at run time, and clients in an open loop, all of which write down what they met. To be sourced
# after lab.sh.

ROLLOUT_HOSTS="blue1:11 canary1:15" # HOST:NUMBER; the number of 10.20.0.NUMBER
ROLLOUT_PORTS="8000"                # of every version
declare -A ROLLOUT_PORT=()          # of each service

rollout_client=$LAB_SOURCE/rollout_client.py

# --- what runs --------------------------------------------------------------------------------------------------------

rollout_hosts() # MODE [OPTION-OF-THE-SERVERS...]
{
	local mode=$1 pair host
	shift
	lab_host client front 10.10.0.2 fd00:10::2
	# Its own connections wait in TIME-WAIT for a minute.
	lab_exec client sysctl -qw net.ipv4.ip_local_port_range="10000 65000"
	for pair in $ROLLOUT_HOSTS; do
		host=${pair%:*}
		lab_host "$host" back "10.20.0.${pair#*:}" "fd00:20::${pair#*:}"
		[ "$mode" != dnat ] || lab_default_route "$host"
		rollout_serve "$host" "$@"
	done
}

rollout_serve() # HOST [OPTION...]
{
	local host=$1
	shift
	rm -f "$LAB/$host.control"
	# shellcheck disable=SC2086 # several ports
	lab_start "$host" "server-$host" "$LAB_SOURCE/rollout_server.py" --port $ROLLOUT_PORTS --name "${host%1}" \
		--log "$LAB/$host.truth" --control "$LAB/$host.control" "$@"
	lab_wait "the server on $host" test -S "$LAB/$host.control"
}

# Changes a version's faults ("errors=0.2&port=8000"). Prints when, on the clients' clock.
rollout_set() # HOST SETTINGS
{
	lab_json 'd["time"]' "$(curl -sSf --unix-socket "$LAB/$1.control" "http://$1/set?$2")"
}

# What a version's server says of a port.
rollout_server_says() # HOST PORT
{
	lab_json "json.dumps(d['ports']['$2'])" "$(curl -sSf --unix-socket "$LAB/$1.control" "http://$1/state")"
}

# New connections of services, until rollout_load_stop, so many a second. ROLLOUT_SOURCES: by one after the other of these
# own addresses; ROLLOUT_SOURCE_PORTS: from these ports.
rollout_load_start() # NAME SERVICE@RATE...
{
	local name=$1 one targets=()
	shift
	for one; do
		targets+=("${one%@*}=10.0.0.10:${ROLLOUT_PORT[${one%@*}]}@${one#*@}")
	done
	# shellcheck disable=SC2086 # several words
	lab_start client "$name" "$rollout_client" load --log "$LAB/$name.connections" --target "${targets[@]}" \
		${ROLLOUT_SOURCES:+--source $ROLLOUT_SOURCES} ${ROLLOUT_SOURCE_PORTS:+--source-port $ROLLOUT_SOURCE_PORTS}
	lab_wait "the load of $name" lab_event "$name" open >/dev/null
}

rollout_load_stop() # NAME
{
	lab_traffic_stop "$1"
}

# How a service's connections went that began within a time.
rollout_summary() # LOAD SERVICE [OPTION...]
{
	"$rollout_client" summary --log "$LAB/$1.connections" --service "$2" "${@:3}"
}

rollout_now()
{
	/usr/bin/python3 -c 'import time; print(time.monotonic())'
}

# Streams of tokens of a service, that do not end by themselves.
rollout_hold_start() # NAME SERVICE COUNT
{
	lab_start client "$1" "$rollout_client" hold --target "$2=10.0.0.10:${ROLLOUT_PORT[$2]}@0" --connections "$3"
	lab_wait "$1's connections" lab_event "$1" open >/dev/null
}

# Tells headgated how many answers of each version were hallucinated; SIGUSR1 to NAME makes it the shares of --then.
rollout_evaluator_start() # NAME SERVICE [OPTION...]
{
	local name=$1 service=$2
	shift 2
	lab_start splitter "$name" "$LAB_SOURCE/evaluator.py" --socket "$LAB/api.sock" --service "$service" "$@"
	lab_wait "$name" lab_event "$name" open >/dev/null
}

# Hooks, webhooks and notifications at http://127.0.0.1:9300 of the splitter; its log is $LAB/receiver.truth.
rollout_receiver_start()
{
	echo '{}' >"$LAB/answers"
	: >"$LAB/receiver.truth"
	lab_start splitter receiver "$LAB_SOURCE/receiver.py" --port 9300 --log "$LAB/receiver.truth" --answers "$LAB/answers"
	lab_wait "the receiver" lab_event receiver open >/dev/null
}

# What the receiver is to answer from now on.
rollout_receiver_answers() # JSON
{
	echo "$1" >"$LAB/answers.new"
	mv "$LAB/answers.new" "$LAB/answers"
}

# What the receiver was sent on a path, as a JSON array.
rollout_received() # PATH
{
	lab_json "json.dumps([line for line in map(json.loads, open('$LAB/receiver.truth')) if line['path'] == '$1'])" '{}'
}

rollout_splitter()
{
	lab_splitter "$LAB/headgate.yaml" --journal "$LAB/rollouts.db"
	lab_wait "every next hop" rollout_hops_known
}

# Of many services: what is said of them all is longer than an argument may be.
rollout_hops_known()
{
	lab_api GET /v1/services | /usr/bin/python3 -c '
import json, sys
sys.exit(not all(b["next_hop"] for s in json.load(sys.stdin)["services"] for v in s["variants"] for b in v["backends"]))'
}

# Ports of the client whose new connections a variant gets just now.
rollout_ports_of() # SERVICE VARIANT COUNT
{
	curl -sS --unix-socket "$LAB/api.sock" "http://headgate/v1/services/$1/explain?source=10.10.0.2:[20000-20399]" |
		/usr/bin/python3 -c '
import json, sys
variant, count, text, decoder, ports = sys.argv[1], int(sys.argv[2]), sys.stdin.read().strip(), json.JSONDecoder(), []
while text:
    answer, end = decoder.raw_decode(text)
    text = text[end:].lstrip()
    ports += [answer["source"].rsplit(":", 1)[1]] * (answer["variant"] == variant)
print(*ports[:count])' "$2" "$3"
}

# --- the configuration ------------------------------------------------------------------------------------------------

# A service with a variant for each of ROLLOUT_HOSTS, the first of which has all of the weight; on stdin its rollout, and
# whatever else it has.
rollout_service() # NAME PORT MODE
{
	local pair host weight=100
	cat <<-END
		  $1:
		    address: 10.0.0.10
		    port: $2
		    forward: $3
		    $([ "$3" = nat ] || echo "measure: all")
		    variants:
	END
	for pair in $ROLLOUT_HOSTS; do
		host=${pair%:*}
		echo "      ${host%1}: {weight: $weight, backends: [\"10.20.0.${pair#*:}:$2\"]}"
		weight=0
	done
	sed 's/^/    /'
}

# --- what the daemon says ---------------------------------------------------------------------------------------------

# A plan's text, for rollout_do.
rollout_json_string() # TEXT
{
	/usr/bin/python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"
}

rollout_do() # SERVICE ACTION [KEY=JSON...]
{
	local service=$1 body="\"action\": \"$2\"" pair
	shift 2
	for pair; do body+=", \"${pair%%=*}\": ${pair#*=}"; done
	lab_api POST "/v1/services/$service/rollout" "{$body}"
}

# As rollout_do, but has to be done.
rollout_done() # SERVICE ACTION [KEY=JSON...]
{
	lab_assert '"error" not in d and d["rollout"] is not None' "$(rollout_do "$@")"
}

rollout_report() # SERVICE
{
	lab_api GET "/v1/services/$1/rollout"
}

# Fails, and shows the report, unless the expression is true of the rollout (r).
rollout_is() # SERVICE EXPRESSION [NAME=JSON...]
{
	lab_assert "(lambda r: $2)(d['rollout'])" "$(rollout_report "$1")" "${@:3}"
}

# Waits until it is, whichever daemons are there meanwhile.
rollout_wait() # SERVICE EXPRESSION [SECONDS]
{
	"$LAB_SOURCE/rollout_wait.py" --socket "$LAB/api.sock" --service "$1" --until "$2" --seconds "${3:-20}"
}

rollout_wait_state() # SERVICE STATE [SECONDS]
{
	rollout_wait "$1" "r['state'] == '$2'" "${3:-20}"
}

# The newest rollout's history.
rollout_history() # SERVICE
{
	curl -sS -m 5 --unix-socket "$LAB/api.sock" "http://headgate/v1/services/$1/rollout/history?limit=1"
}

# "State step, State step, ..": where the newest rollout has been.
rollout_path() # SERVICE
{
	lab_json '", ".join("%s %d" % (t["to"], t["step"]) for t in d["rollouts"][0]["transitions"])' "$(rollout_history "$1")"
}

# Weights of a service as "blue 100, canary 0".
rollout_weights() # SERVICE
{
	lab_json '", ".join("%s %g" % (v["name"], round(v["share"] * 100, 1)) for v in d["variants"])' \
		"$(lab_api GET "/v1/services/$1")"
}

rollout_weights_are() # SERVICE WEIGHTS
{
	local are
	are=$(rollout_weights "$1")
	[ "$are" = "$2" ] || lab_fail "weights of $1: $are, not $2"
}

# Waits for the end of an interval: what is done next is all within one, but for a moment.
rollout_after_an_analysis() # SERVICE
{
	rollout_wait "$1" "made > 0"
}

# What became of a fault that began at a time: when the daemon said so, and who reached the candidate how long.
rollout_returned() # LOAD SERVICE FAULT [OPTION...]
{
	rollout_history "$2" | "$rollout_client" returned --log "$LAB/$1.connections" --service "$2" --fault "$3" "${@:4}"
}

# Says it, for people.
rollout_tell_returned() # OF-WHAT RETURNED
{
	lab_tell "$(lab_json 'what + ": the verdict came %s ms after the fault began, after %d connections to the candidate, the last of which began %s ms after the verdict" % (
		d["verdict_after_fault_ms"], d["to_candidate_since_fault"], d["last_after_verdict_ms"])' "$2" what="\"$1\"")"
}

# Who reached the candidate between each transition and the next; the last of which has to be old enough for some.
rollout_steps() # LOAD SERVICE SHARE-OF-A-STEP...
{
	lab_wait "clients of $2's last step" rollout_steps_are_met "$@"
}

rollout_steps_are_met()
{
	local steps
	steps=$(rollout_history "$2" | "$rollout_client" steps --log "$LAB/$1.connections" --service "$2" --share "${@:3}")
	lab_assert 'd[-1]["answered"] >= 10' "$steps" && echo "$steps"
}

# When the newest rollout came to a state, on the clients' clock.
rollout_transition_to() # SERVICE STATE
{
	rollout_history "$1" | "$rollout_client" at --state "$2"
}
