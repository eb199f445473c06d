#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# The daemon comes and goes, reloads and detaches; the data path does what it should meanwhile.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

target=(--url-host 10.0.0.10 --port 8000)
opened='sum(v["opened"] for v in %s["services"][0]["variants"])'

configuration() # CANARY-WEIGHT
{
	cat <<-END
		interfaces: [front, back]
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    protocol: tcp
		    forward: $mode
		    variants:
		      blue:   {weight: 100, backends: ["10.20.0.11:8000", "10.20.0.12:8000"]}
		      green:  {weight: 0, backends: ["10.20.0.13:8000"]}
		      canary: {weight: $1, backends: ["10.20.0.15:8000"]}
	END
}

works_without_the_daemon() # SIGNAL
{
	local before status
	lab_traffic_start client kept keepalive "${target[@]}" --connections 20 --interval 0.05
	lab_headgate weights web blue=50 green=50 canary=0
	before=$(lab_api GET /v1/status)
	lab_stop headgated "$1"
	lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue", "green"}' \
		"$(lab_traffic client requests "${target[@]}" --count 300)"
	lab_splitter "$LAB/headgate.yaml"
	status=$(lab_api GET /v1/status)
	lab_assert 'd["adopted"] is True and d["pid"] != before["pid"]' "$status" before="$before"
	# shellcheck disable=SC2059
	lab_assert "$(printf "$opened - $opened == 300" d before)" "$status" before="$before"
	lab_assert '{v["name"]: v["weight"] for v in d["services"][0]["variants"]} == {"blue": 50, "green": 50, "canary": 0}' \
		"$status"
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests "${target[@]}" --count 300)"
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
	lab_headgate weights web blue=100 green=0
}

test_sigterm_leaves_the_data_path_and_a_new_daemon_adopts_it() { works_without_the_daemon TERM; }
test_kill_9_leaves_the_data_path_and_a_new_daemon_adopts_it() { works_without_the_daemon KILL; }

# Only a reload applies this: the daemon's weights were set by command, back to what the file says.
weights_are() # CANARY-WEIGHT
{
	lab_assert "d['variants'][2]['weight'] == $1" "$(lab_api GET /v1/services/web)"
}

test_reload_applies_the_file()
{
	configuration 10 >"$LAB/headgate.yaml"
	lab_headgate reload
	weights_are 10
}

test_sighup_applies_the_file()
{
	configuration 20 >"$LAB/headgate.yaml"
	lab_signal HUP headgated
	lab_wait "the reload" weights_are 20
}

# What a reload could change, without what time changes.
picture()
{
	lab_json '(lambda f: f(f, d["services"]))(lambda f, x:
		[f(f, v) for v in x] if isinstance(x, list) else
		{k: f(f, v) for k, v in x.items() if k not in ("slots", "active", "rate", "new_share", "leftover", "measured")}
		if isinstance(x, dict) else x)' "$(lab_api GET /v1/services)"
}

test_a_bad_file_changes_nothing_and_says_where()
{
	local before after output log
	configuration 99 >"$LAB/headgate.yaml"
	sed -i 's/forward:/foreward:/' "$LAB/headgate.yaml"
	before=$(picture)
	! output=$(lab_headgate reload 2>&1) || lab_fail "accepted" "$output"
	grep -q 'headgate.yaml:7:5: ' <<<"$output" || lab_fail "no line and column:" "$output"
	log=$(wc -l <"$LAB/headgated.err")
	lab_signal HUP headgated
	lab_wait "the daemon's complaint" said_since "$log" 'headgate.yaml:7:5: '
	after=$(picture)
	[ "$after" = "$before" ] || lab_fail "changed:" "$before" "$after"
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests "${target[@]}" --count 50)"
	configuration 20 >"$LAB/headgate.yaml"
}

said_since() # LINE PATTERN
{
	tail -n "+$(($1 + 1))" "$LAB/headgated.err" | grep "$2"
}

test_a_second_daemon_is_refused_and_changes_nothing()
{
	local before after
	configuration 77 >"$LAB/other.yaml"
	before=$(picture)
	! lab_exec splitter "$LAB_BUILD/headgated" --config "$LAB/other.yaml" --socket "$LAB/other.sock" \
		--pins "$LAB/bpf/headgate" --state "$LAB/other.json" 2>"$LAB/second" || lab_fail "accepted"
	grep -q 'another headgated feeds the data path' "$LAB/second" || lab_fail "no reason:" "$(cat "$LAB/second")"
	after=$(picture)
	[ "$after" = "$before" ] || lab_fail "changed:" "$before" "$after"
}

spare_is() # MODE
{
	lab_assert "{i['name']: i['mode'] for i in d['interfaces']}.get('spare') == '$1'" "$(lab_api GET /v1/status)"
}

make_spare()
{
	ip -n "$LAB_NAME-splitter" link add spare type veth peer name erape
	ip -n "$LAB_NAME-splitter" link set spare up
}

configuration_with_spare() # CANARY-WEIGHT
{
	configuration "$1" | sed 's/\[front, back\]/[front, back, spare]/'
}

test_an_interface_that_is_made_anew_is_attached_again()
{
	make_spare
	configuration_with_spare 20 >"$LAB/headgate.yaml"
	lab_headgate reload
	spare_is native
	ip -n "$LAB_NAME-splitter" link delete spare
	make_spare
	lab_wait "spare to be attached" lab_xdp_is_on spare
	configuration 20 >"$LAB/headgate.yaml"
	lab_headgate reload
	! lab_xdp_is_on spare || lab_fail "the program is still on spare"
	ip -n "$LAB_NAME-splitter" link delete spare
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests "${target[@]}" --count 50)"
}

lab_xdp_is_on() # INTERFACE
{
	ip -n "$LAB_NAME-splitter" link show "$1" | grep -q prog/xdp
}

test_a_reload_that_cannot_attach_changes_nothing()
{
	local before after
	make_spare
	lab_foreign_program splitter spare
	configuration_with_spare 88 >"$LAB/headgate.yaml"
	before=$(picture)
	! lab_headgate reload 2>"$LAB/output" || lab_fail "accepted"
	grep -q 'spare already runs' "$LAB/output" || lab_fail "no reason:" "$(cat "$LAB/output")"
	after=$(picture)
	[ "$after" = "$before" ] || lab_fail "changed:" "$before" "$after"
	lab_assert '{i["name"] for i in d["interfaces"]} == {"front", "back"}' "$(lab_api GET /v1/status)"
	ip -n "$LAB_NAME-splitter" link delete spare
	configuration 20 >"$LAB/headgate.yaml"
}

test_clients_of_the_tool_get_the_exit_codes_it_promises()
{
	local code=0
	lab_headgate status || lab_fail "status"
	lab_headgate switch web nosuch 2>"$LAB/output" || code=$?
	[ $code -eq 1 ] || lab_fail "refused with $code"
	code=0
	lab_headgate switch 2>"$LAB/output" || code=$?
	[ $code -eq 2 ] || lab_fail "bad usage gave $code"
}

test_detach_removes_everything()
{
	lab_headgate detach
	lab_wait "the daemon to end" lab_ended headgated
	[ ! -e "$LAB/bpf/headgate" ] || lab_fail "pins are left:" "$(find "$LAB/bpf")"
	! ip -n "$LAB_NAME-splitter" link | grep xdp || lab_fail "a program is left on an interface"
	lab_assert 'd["failed"] == 5' "$(lab_traffic client requests "${target[@]}" --count 5 --timeout 1)"
}

test_after_detach_a_new_daemon_begins_afresh()
{
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
	lab_assert 'd["adopted"] is False' "$(lab_api GET /v1/status)"
	lab_assert 'd["failed"] == 0' "$(lab_traffic client requests "${target[@]}" --count 50)"
}

lab_begin
lab_standard "$mode"
configuration 0 >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "$mode"
