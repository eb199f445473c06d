#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# Token streams whose slots move: reset at the pace that was asked for, or left alone.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

truth=$LAB_SOURCE/truth.py
streams=30

service() # NAME PORT DRAIN [BACKEND]
{
	cat <<-END
		  $1:
		    address: 10.0.0.10
		    port: $2
		    forward: $mode
		    $([ "$mode" = nat ] || echo "measure: all")
		    drain: $3
		    variants:
		      blue:   {weight: 0, backends: ["10.20.0.11:$2"${4:+, \"$4\"}]}
		      canary: {weight: 1, backends: ["10.20.0.15:$2"]}
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service all 8000 '{on_rollback: reset, pace: 100%/s, timeout: 8s}'
	service half 8001 '{on_rollback: reset, pace: 50%/s, timeout: 8s}'
	service kept 8002 '{on_rollback: keep, pace: 100%/s}' 10.20.0.15:8012
	service moved 8003 '{on_change: reset, pace: 1000%/s, timeout: 8s}'
}

start_streams()
{
	local service port=8000
	for service in all half kept moved; do
		lab_start client $service "$truth" streams --url-host 10.0.0.10 --port $port --connections $streams --pause-ms 100
		port=$((port + 1))
	done
	for service in all half kept moved; do
		LAB_WAIT_S=30 lab_wait "$service's streams" lab_event $service open >/dev/null
	done
}

take_weight() # SERVICE ROLLBACK
{
	"$LAB_SOURCE/traffic.py" timed curl -sS --unix-socket "$LAB/api.sock" -X PUT --data-binary \
		"{\"weights\": {\"blue\": 1, \"canary\": 0}, \"rollback\": $2}" "http://headgate/v1/services/$1/weights" >"$LAB/$1.taken"
}

# How a service's streams went, with when each was reset, in seconds after the change was asked for, and by when all must
# have been. Beyond the pace that takes the daemon's next step (50 ms), the stream's next token (100 ms) and the client's
# acknowledgement (40 ms): less than three waits for a token, of which the longest is taken, from streams left alone.
end_of() # SERVICE SECONDS
{
	lab_json "json.dumps({'streams': d['streams'],
		'after': sorted(s[0]['time'] - taken['start'] for s in d['streams'] if s[0]['end'] == 'reset'),
		'within': taken['end'] - taken['start'] + $2 + 3 * max(s[0]['longest_wait'] for s in kept['streams'])})" \
		"$(cat "$LAB/$1.end")" taken="$(cat "$LAB/$1.taken")" kept="$(cat "$LAB/kept.end")"
}

# What the backend's own log says of its connections on a port.
resets_at_canary() # PORT
{
	awk -v port=":$1\"" 'index($0, port) && /"event": "ended"/ && /"end": "reset_by_client"/' "$LAB/canary1.truth" | wc -l
}

accepted_by_blue() # PORT
{
	awk -v port=":$1\"" 'index($0, port) && /"event": "accepted"/' "$LAB/blue1.truth" | wc -l
}

streams_have_moved() # PORT
{
	[ "$(resets_at_canary "$1")" -eq $streams ] && [ "$(accepted_by_blue "$1")" -eq $streams ]
}

moved_to_blue='all([p["end"] for p in s] == ["reset", "complete"] and s[0]["server"].startswith("canary") and
	s[1]["server"].startswith("blue") for s in d["streams"])'

all_are_reset_in_time="len(d['after']) == $streams and d['after'][-1] < d['within']"

test_a_rollback_that_resets_moves_every_stream_within_its_pace()
{
	local service result half
	start_streams
	take_weight moved false
	for service in kept all half; do
		take_weight $service true
	done
	lab_assert 'all(b["resetting"] is not None for v in d["variants"] for b in v["backends"] if v["name"] == "canary")' \
		"$(lab_api GET /v1/services/half)"
	for service in moved kept all half; do
		lab_assert '"was" in json.loads(d["output"])' "$(cat "$LAB/$service.taken")"
	done
	LAB_WAIT_S=20 lab_wait "the streams of all to move" streams_have_moved 8000
	LAB_WAIT_S=20 lab_wait "the streams of half to move" streams_have_moved 8001
	LAB_WAIT_S=20 lab_wait "the streams of moved to move" streams_have_moved 8003
	for service in all half kept moved; do
		lab_traffic_stop $service >"$LAB/$service.end"
	done
	result=$(end_of all 1)
	lab_assert "$moved_to_blue" "$result"
	lab_assert "$all_are_reset_in_time" "$result"
	half=$(end_of half 2)
	lab_assert "$moved_to_blue" "$half"
	lab_assert "$all_are_reset_in_time" "$half"
	# 30 that are spread evenly over 2 s are within 0.7 s of each other once in 10^12 runs.
	lab_assert 'd["after"][-1] - d["after"][0] > 0.7' "$half"
}

test_a_rollback_that_keeps_ends_no_stream()
{
	lab_assert 'all(len(s) == 1 and s[0]["end"] == "complete" and
		s[0]["server"].startswith("canary") for s in d["streams"])' "$(end_of kept 0)"
	[ "$(resets_at_canary 8002)" -eq 0 ]
	lab_assert 'd["variants"][1]["measured"]["reset_by_drain"] == 0' "$(lab_api GET /v1/services/kept)"
}

test_a_change_that_resets_does_so_without_a_rollback()
{
	local result
	result=$(end_of moved 0.1)
	lab_assert "$moved_to_blue" "$result"
	lab_assert "$all_are_reset_in_time" "$result"
}

drain_is_over() # SERVICE
{
	lab_assert 'd["drain"]["leftover"] == 0 and
		all(b["resetting"] is None and b["leftover"] == 0 for v in d["variants"] for b in v["backends"])' \
		"$(lab_api GET "/v1/services/$1")"
}

test_resets_are_counted_and_nothing_is_left_over()
{
	local service
	for service in all half moved; do
		lab_assert "d['variants'][1]['measured']['reset_by_drain'] == $streams" "$(lab_api GET "/v1/services/$service")"
		lab_assert 'd["variants"][1]["measured"]["reset_by_client"] == d["variants"][1]["measured"]["reset_by_server"] == 0' \
			"$(lab_api GET "/v1/services/$service")"
		LAB_WAIT_S=30 lab_wait "the drain of $service to end" drain_is_over $service
	done
}

leftover_is() # COUNT
{
	lab_assert "d['drain']['leftover'] == $1" "$(lab_api GET /v1/services/kept)"
}

# The second backend of blue, that is: on canary1's host, whose name says who served.
test_a_drained_backend_gets_nobody_new_and_keeps_whom_it_has()
{
	local before there other='d["variants"][0]["backends"][1]'
	lab_traffic_start client open keepalive --url-host 10.0.0.10 --port 8002 --connections 30 --interval 0.1
	there=$(lab_json 'd["variants"]["canary"]' "$(lab_event open open)")
	lab_api PUT /v1/services/kept/backends '{"backend": "10.20.0.15:8012", "drained": true}' >"$LAB/answer"
	before=$(lab_api GET /v1/services/kept)
	lab_assert "${other}['drained'] is True and ${other}['in_rotation'] is False and ${other}['slots'] == 0" "$before"
	lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 100}' \
		"$(lab_traffic client requests --url-host 10.0.0.10 --port 8002 --count 100 --client-closes)"
	lab_assert "${other}['opened'] == ${other/d/before}['opened']" "$(lab_api GET /v1/services/kept)" before="$before"
	lab_wait "what is left over" leftover_is "$there"
	lab_assert "d['broken'] == 0 and d['moved'] == 0 and d['variants']['canary'] == $there" "$(lab_traffic_stop open)"
	lab_wait "nothing left over" leftover_is 0
	lab_api PUT /v1/services/kept/backends '{"backend": "10.20.0.15:8012", "drained": false}' >"$LAB/answer"
	lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue", "canary"}' \
		"$(lab_traffic client requests --url-host 10.0.0.10 --port 8002 --count 100 --client-closes)"
}

test_the_last_backend_of_a_variant_with_weight_is_not_drained()
{
	lab_assert '"error" in d' "$(lab_api PUT /v1/services/kept/backends '{"variant": "blue", "drained": true}')"
	lab_assert 'not any(b["drained"] for v in d["variants"] for b in v["backends"])' "$(lab_api GET /v1/services/kept)"
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
for host in blue1:11 canary1:15; do
	lab_host ${host%:*} back 10.20.0.${host#*:} fd00:20::${host#*:}
	lab_default_route ${host%:*}
	lab_start ${host%:*} "truth-${host%:*}" "$truth" server --port 8000 8001 8002 8003 8012 --name "${host%1:*} ${host%:*}" \
		--log "$LAB/${host%:*}.truth"
done
# Resets go back out of the interface that the packet came in by.
lab_foreign_program switch to-front
lab_foreign_program switch to-back
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "drain $mode"
