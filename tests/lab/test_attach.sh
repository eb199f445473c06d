#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The ways on which the programs come to an interface, from one to another, beside those of others, and off again.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

service() # MODE ADDRESS PORT BACKEND
{
	cat <<-END
		  $1-$3:
		    address: $2
		    port: $3
		    forward: $1
		    variants:
		      blue: {weight: 1, backends: ["$4"]}
	END
}

configuration() # INTERFACE...
{
	local interface
	echo interfaces:
	for interface; do echo "  - $interface"; done
	echo services:
	service nat 10.0.0.10 80 10.20.0.11:8000
	service nat fd00:aa::10 81 '[fd00:20::11]:8000'
	service dnat 10.0.0.10 82 10.20.0.11:8001
	service dnat fd00:aa::10 83 '[fd00:20::11]:8001'
}

configure() # ATTACH: of both interfaces
{
	configuration "{name: front, attach: $1}" "{name: back, attach: $1}" >"$LAB/headgate.yaml"
}

chain() # ATTACH: of front, whose program is to be chained
{
	configuration "{name: front, attach: $1, existing: chain}" back >"$LAB/headgate.yaml"
}

start()
{
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
}

# Where the last test left a daemon, it goes with all that it attached.
afresh()
{
	lab_ended headgated || detach
}

detach()
{
	lab_headgate detach
	lab_wait "the daemon to end" lab_ended headgated
	[ ! -e "$LAB/bpf/headgate" ] || lab_fail "pins are left:" "$(find "$LAB/bpf/headgate")"
}

everything_is_answered()
{
	local service
	for service in 10.0.0.10:80 fd00:aa::10:81 10.0.0.10:82 fd00:aa::10:83; do
		lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 30}' \
			"$(lab_traffic client requests --url-host "${service%:*}" --port "${service##*:}" --count 30)"
	done
}

# What runs on an interface of the splitter, as the kernel tells: "native ID", "generic ID", "tc PRIORITY NAME", "clsact".
hooks() # INTERFACE
{
	{
		lab_exec splitter ip -d -j link show dev "$1"
		lab_exec splitter tc -j filter show dev "$1" ingress
		lab_exec splitter tc -j qdisc show dev "$1"
	} | /usr/bin/python3 -c '
import json, sys
text, documents = sys.stdin.read(), []
while text.strip():
    document, end = json.JSONDecoder().raw_decode(text := text.lstrip())
    documents.append(document)
    text = text[end:]
for link in documents[0]:
    xdp = link.get("xdp", {})
    for program in xdp.get("attached", [xdp] if "prog" in xdp else []):
        print({1: "native", 2: "generic"}.get(program["mode"], "?"), program["prog"]["id"])
for f in documents[1]:
    if "options" in f:
        print("tc", f["pref"], f["options"].get("bpf_name", f["kind"]).partition(":")[0])
for q in documents[2]:
    if q["kind"] == "clsact":
        print("clsact")'
}

hooks_are() # INTERFACE PATTERN: of all lines, joined by commas
{
	local found
	found=$(hooks "$1" | paste -sd,)
	[[ $found =~ ^($2)$ ]] || lab_fail "$1 has '$found', not '$2'"
}

ours_in_tc='tc 1 headgate_tc'
native='native [0-9]+'
generic='generic [0-9]+'

is_reported() # INTERFACE EXPRESSION: i is the interface
{
	lab_assert "all($2 for i in d['interfaces'] if i['name'] == '$1') and '$1' in [i['name'] for i in d['interfaces']]" \
		"$(lab_api GET /v1/status)"
}

# Another's program: it drops UDP to port 9999. Of XDP, SECTION "xdp" gives it an expected_attach_type, others none.
doorman() # TYPE SECTION FIELDS-BEFORE-DATA DROP OTHERWISE; prints where it is pinned
{
	local pin=$LAB/bpf/doorman-$2
	if [ ! -e "$pin" ]; then
		clang -target bpf -O2 -x c -c -o "$LAB/doorman.o" - <<-END
			struct frame { unsigned int before[$3], data, end; };
			__attribute__((section("$2"), used)) int doorman(struct frame *f)
			{
				unsigned char *p = (void *)(long)f->data, *end = (void *)(long)f->end;
				if (p + 38 > end || p[12] != 8 || p[13] != 0 || p[23] != 17)
					return $5;
				return (p[36] << 8 | p[37]) == 9999 ? $4 : $5;
			}
		END
		bpftool prog load "$LAB/doorman.o" "$pin" type "$1" >&2
	fi
	echo "$pin"
}

foreign() # INTERFACE xdpdrv|xdpgeneric [SECTION]
{
	lab_exec splitter bpftool net attach "$2" pinned "$(doorman xdp "${3:-xdp}" 0 1 2)" dev "$1"
}

foreign_filter() # INTERFACE PRIORITY
{
	lab_exec splitter tc filter add dev "$1" ingress pref "$2" bpf direct-action \
		object-pinned "$(doorman classifier tc 19 2 0)"
}

foreign_id() # INTERFACE
{
	hooks "$1" | awk '$1 == "native" || $1 == "generic" { print $2 }'
}

# Is a datagram to the splitter itself answered?
echoed() # PORT
{
	lab_exec client /usr/bin/python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
for _ in range(3):
    s.sendto(b"0123456789abcdef", ("10.10.0.1", int(sys.argv[1])))
    try:
        s.recv(100)
        break
    except TimeoutError:
        pass
else:
    sys.exit(1)' "$1"
}

the_doorman_works()
{
	echoed 9000 || lab_fail "what the doorman lets pass does not arrive"
	! echoed 9999 || lab_fail "nobody keeps the door"
}

# --- TC ---------------------------------------------------------------------------------------------------------------

test_tc_carries_both_modes_and_both_families()
{
	configure tc
	start
	hooks_are front "$ours_in_tc,clsact"
	hooks_are back "$ours_in_tc,clsact"
	is_reported front 'i["mode"] == "tc" and i["hook"] == "tc" and i["reason"] == "as configured"'
	everything_is_answered
}

test_tc_goes_on_without_the_daemon_and_a_new_one_takes_it_over_in_place()
{
	local before after
	lab_traffic_start client kept keepalive --url-host 10.0.0.10 --port 80 --connections 10 --interval 0.02
	before=$(lab_exec splitter tc filter show dev front ingress)
	lab_stop headgated KILL
	everything_is_answered
	rm -r "$LAB"/bpf/headgate/v*/programs # as for a daemon of another build
	start
	after=$(lab_exec splitter tc filter show dev front ingress)
	[ "$after" != "$before" ] || lab_fail "the program is the old one:" "$after"
	hooks_are front "$ours_in_tc,clsact"
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
}

test_another_way_by_reload_breaks_nothing_and_leaves_one_program()
{
	local attach want
	lab_traffic_start client kept keepalive --url-host 10.0.0.10 --port 80 --connections 10 --interval 0.02
	for attach in native generic tc generic native auto tc; do
		configure $attach
		lab_headgate reload
		case $attach in
		tc) want="$ours_in_tc,clsact" ;;
		generic) want=$generic ;;
		*) want=$native ;;
		esac
		hooks_are front "$want"
		hooks_are back "$want"
		is_reported front "i['mode'] == '${attach/auto/native}'"
	done
	everything_is_answered
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
}

test_a_foreign_filter_at_the_priority_is_refused_by_name()
{
	local output
	afresh
	lab_exec splitter tc qdisc add dev front clsact
	foreign_filter front 1
	configure tc
	! lab_splitter "$LAB/headgate.yaml" 2>"$LAB/output" || lab_fail "accepted"
	grep -q "front has filter 'doorman.*(program id [0-9]*, handle 0x1) at priority 1" "$LAB/headgated.err" ||
		lab_fail "no reason"
	grep -q "tc filter del dev front ingress prio 1" "$LAB/headgated.err" || lab_fail "no way out"
	output=$(lab_headgate doctor --config "$LAB/headgate.yaml" --pins "$LAB/bpf/headgate") || true
	grep -q "fail.*front: filter 'doorman.* has priority 1" <<<"$output" || lab_fail "doctor missed it" "$output"
	hooks_are front 'tc 1 doorman.*,clsact'
	lab_exec splitter tc filter del dev front ingress pref 1
}

test_filters_of_others_at_other_priorities_stay_and_see_what_is_passed()
{
	foreign_filter front 7
	start
	hooks_are front "$ours_in_tc,tc 7 doorman.*,clsact"
	everything_is_answered
	the_doorman_works
	detach
	hooks_are front 'tc 7 doorman.*,clsact'
	hooks_are back ''
	lab_exec splitter tc qdisc del dev front clsact
}

# --- auto -------------------------------------------------------------------------------------------------------------

test_auto_is_tc_everywhere_when_one_driver_has_no_xdp_and_says_why()
{
	afresh
	ip -n "$LAB_NAME-splitter" link add spare type bridge
	ip -n "$LAB_NAME-splitter" link set spare up
	configuration front back spare >"$LAB/headgate.yaml"
	start
	hooks_are spare "$ours_in_tc,clsact"
	hooks_are front "$ours_in_tc,clsact"
	is_reported spare 'i["mode"] == "tc" and i["reason"].endswith("Underlying driver does not support XDP in native mode")'
	is_reported front 'i["mode"] == "tc" and "leave by spare" in i["reason"]'
	lab_headgate status | grep -q '^interface spare: TC (auto: its driver does not take native XDP: ' ||
		lab_fail "status does not say why"
	everything_is_answered
}

test_auto_is_native_again_when_that_interface_is_gone()
{
	configuration front back >"$LAB/headgate.yaml"
	lab_headgate reload
	hooks_are front "$native"
	hooks_are spare ''
	ip -n "$LAB_NAME-splitter" link delete spare
	is_reported front 'i["mode"] == "native" and i["reason"] == "auto: its driver takes native XDP"'
	everything_is_answered
}

test_native_where_there_is_none_is_refused_with_what_to_say_instead()
{
	local before
	ip -n "$LAB_NAME-splitter" link add spare type bridge
	before=$(hooks front)
	configuration '{name: front, attach: tc}' back '{name: spare, attach: native}' >"$LAB/headgate.yaml"
	! lab_headgate reload 2>"$LAB/output" || lab_fail "accepted"
	grep -q 'spare in native mode.*attach: auto or tc' "$LAB/output" || lab_fail "no reason:" "$(cat "$LAB/output")"
	hooks_are front "$native"
	[ "${before%% *}" = native ] || lab_fail "front was not native: $before"
	hooks_are spare ''
	ip -n "$LAB_NAME-splitter" link delete spare
	everything_is_answered
}

# --- another XDP program ----------------------------------------------------------------------------------------------

test_a_foreign_program_is_refused_by_name()
{
	local id
	afresh
	foreign front xdpdrv
	id=$(foreign_id front)
	configure auto
	! lab_splitter "$LAB/headgate.yaml" 2>"$LAB/output" || lab_fail "accepted"
	grep -q "front already runs XDP program 'doorman' (id $id).*bpftool net.*existing: chain" "$LAB/headgated.err" ||
		lab_fail "no reason"
	hooks_are front "native $id"
	lab_exec splitter "$LAB_BUILD/headgate" --socket "$LAB/none.sock" detach --pins "$LAB/bpf/headgate"
	hooks_are back ''
}

test_a_chained_program_sees_what_is_passed_and_status_names_it()
{
	local id
	id=$(foreign_id front)
	the_doorman_works
	chain auto
	start
	[ "$(foreign_id front)" != "$id" ] || lab_fail "Headgate's program is not in front"
	is_reported front "i['mode'] == 'native' and i['chained'] == {'name': 'doorman', 'id': $id}"
	lab_headgate status | grep -q "^interface front: native XDP, in front of 'doorman' (id $id)" || lab_fail "status"
	lab_headgate doctor --pins "$LAB/bpf/headgate" | grep -q "front: Headgate's program.*in front" || lab_fail "doctor"
	the_doorman_works
	everything_is_answered
	echo "$id" >"$LAB/doorman.id"
}

test_a_chain_goes_on_without_the_daemon_and_a_new_one_takes_it_over_in_place()
{
	local before id
	id=$(cat "$LAB/doorman.id")
	lab_traffic_start client kept keepalive --url-host 10.0.0.10 --port 82 --connections 10 --interval 0.02
	before=$(foreign_id front)
	lab_stop headgated KILL
	the_doorman_works
	everything_is_answered
	start
	[ "$(foreign_id front)" != "$before" ] || lab_fail "the program is the old one"
	is_reported front "i['chained'] == {'name': 'doorman', 'id': $id}"
	lab_headgate reload
	the_doorman_works
	lab_assert 'd["broken"] == 0 and d["moved"] == 0' "$(lab_traffic_stop kept)"
}

test_tc_puts_the_chained_program_back_and_a_chain_is_made_again()
{
	local id
	id=$(cat "$LAB/doorman.id")
	configuration '{name: front, attach: tc}' back >"$LAB/headgate.yaml"
	lab_headgate reload
	hooks_are front "native $id,$ours_in_tc,clsact"
	the_doorman_works
	chain auto
	lab_headgate reload
	hooks_are front "$native"
	is_reported front "i['chained']['id'] == $id"
	everything_is_answered
}

test_an_interface_that_leaves_the_configuration_has_its_program_back()
{
	local id
	id=$(cat "$LAB/doorman.id")
	configuration back >"$LAB/headgate.yaml"
	lab_headgate reload
	hooks_are front "native $id"
	the_doorman_works
}

test_detach_without_a_daemon_puts_the_chained_program_back()
{
	local id
	id=$(cat "$LAB/doorman.id")
	chain native
	lab_headgate reload
	lab_stop headgated KILL
	lab_exec splitter "$LAB_BUILD/headgate" --socket "$LAB/none.sock" detach --pins "$LAB/bpf/headgate"
	[ ! -e "$LAB/bpf/headgate" ] || lab_fail "pins are left:" "$(find "$LAB/bpf/headgate")"
	hooks_are front "native $id"
	hooks_are back ''
	the_doorman_works
	lab_exec splitter bpftool net detach xdpdrv dev front
}

# An expected_attach_type of 0, and generic mode, whose program stays generic.
test_a_generic_program_of_an_older_loader_is_chained_in_its_mode()
{
	local id
	foreign front xdpgeneric older
	id=$(foreign_id front)
	chain native
	! lab_splitter "$LAB/headgate.yaml" 2>"$LAB/output" || lab_fail "accepted in another mode"
	grep -q "'doorman' (id $id) in generic mode.*attach: generic" "$LAB/headgated.err" || lab_fail "no reason"
	chain auto
	start
	is_reported front "i['mode'] == 'generic' and i['chained']['id'] == $id"
	the_doorman_works
	everything_is_answered
	lab_stop headgated KILL
	start
	the_doorman_works
	detach
	hooks_are front "generic $id"
	lab_exec splitter bpftool net detach xdpgeneric dev front
}

# Another headgated's, with pins of its own: it holds its programs by links.
test_a_program_that_is_held_by_a_link_cannot_be_chained()
{
	configure native
	lab_start splitter other "$LAB_BUILD/headgated" --config "$LAB/headgate.yaml" --socket "$LAB/other.sock" \
		--pins "$LAB/bpf/other" --state "$LAB/other.json"
	lab_wait "the other daemon" curl -sf -o "$LAB/version" --unix-socket "$LAB/other.sock" http://headgate/v1/version
	configuration '{name: front, existing: chain}' '{name: back, existing: chain}' >"$LAB/chain.yaml"
	! lab_splitter "$LAB/chain.yaml" 2>"$LAB/output" || lab_fail "accepted"
	grep -q "front runs XDP program 'headgate_xdp' .*cannot be chained.*bpf_link" "$LAB/headgated.err" ||
		lab_fail "no reason"
	lab_exec splitter "$LAB_BUILD/headgate" --socket "$LAB/other.sock" detach
	lab_wait "the other daemon to end" lab_ended other
}

test_nothing_is_left_on_any_interface()
{
	lab_ended headgated || detach
	hooks_are front ''
	hooks_are back ''
	lab_assert 'd == [{"xdp": [], "tc": [], "flow_dissector": []}] or not any(d[0].get(k) for k in ("xdp", "tc"))' \
		"$(lab_exec splitter bpftool -j net)"
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
lab_host blue1 back 10.20.0.11 fd00:20::11
lab_default_route blue1
lab_nginx blue1 blue
for port in 9000 9999; do
	lab_start splitter "echo-$port" "$LAB_SOURCE/traffic.py" udp-echo-server --port $port --name splitter
	lab_wait "UDP echo on $port" lab_udp_listens splitter $port
done
lab_run_tests attach
