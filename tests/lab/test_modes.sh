#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the daemon puts in force for each mode, as it stands in the kernel's maps: after reloads, a change of mode, and a
# restart. What packets make of it is tested elsewhere.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

# Services of one address, another with one of its own, and one of QUIC.
configuration() # NAMES...
{
	echo "interfaces: [front, back]"
	echo "services:"
	for name in "$@"; do
		case $name in
		one) echo "  one: {address: 10.0.0.10, port: 8000, forward: l2dsr, $(variants 10.20.0.11)}" ;;
		two) echo "  two: {address: 10.0.0.10, port: 8001, forward: ipip, $(variants 10.20.0.11)}" ;;
		six) echo "  six: {address: \"fd00:aa::10\", port: 8001, forward: gue, $(variants fd00:20::11)}" ;;
		quic) echo "  quic: {address: 10.0.0.11, port: 443, protocol: udp, forward: gue, quic: {server_id_length: 2}," \
			"drain: {timeout: 1s, limit: 1s}, variants: {blue: {weight: 1, backends: [{address: 10.20.0.11," \
			"server_id: 0x0011}, {address: 10.20.0.12, server_id: 0x0012}]}, green: {weight: 0, backends:" \
			"[{address: 10.20.0.11, server_id: 0x0011}]}}}" ;;
		less) echo "  quic: {address: 10.0.0.11, port: 443, protocol: udp, forward: gue, quic: {server_id_length: 2}," \
			"drain: {timeout: 1s, limit: 1s}, variants: {blue: {weight: 1, backends: [{address: 10.20.0.12," \
			"server_id: 0x00aa}]}}}" ;;
		esac
	done
}

variants() # BACKEND
{
	echo "variants: {blue: {weight: 1, backends: [$1]}}"
}

reload() # NAMES...
{
	configuration "$@" >"$LAB/headgate.yaml"
	lab_headgate reload
}

# Entries of a map that are in use, as the programs' types have them: [{"key": .., "value": ..}, ..].
entries() # MAP
{
	bpftool -j map dump pinned "$LAB/bpf/headgate/v8/maps/$1" | /usr/bin/python3 -c '
import json, sys
entries = [e["formatted"] for e in json.load(sys.stdin)]
def used(value):
    return not isinstance(value, dict) or value.get("port", value.get("vip", {}).get("port", 1))
print(json.dumps([e for e in entries if used(e["value"])]))'
}

# {"address port": id} of services, by address in hexadecimal; ports in network order.
vips='{(tuple(e["key"]["address"]["word"]), e["key"]["port"]): e["value"] for e in vips}'

# Every address of a service is there, with the lowest id that has it, and no other.
addresses_are_right()
{
	lab_assert "(lambda vips: {tuple(e['key']['word']): e['value'] for e in d} == {a: min(i for (b, _), i in vips.items()
		if b == a) for a, _ in vips})($vips)" "$(entries vip_addresses)" vips="$(entries vips)"
}

addresses_number() # COUNT
{
	lab_assert "len(d) == $1" "$(entries vip_addresses)"
}

test_an_address_is_its_lowest_services()
{
	addresses_number 2
	addresses_are_right
	reload two six
	addresses_number 2
	addresses_are_right
	reload six
	addresses_number 1
	addresses_are_right
	reload six two one
	addresses_number 2
	addresses_are_right
}

test_a_restart_keeps_addresses_and_server_ids()
{
	local addresses ids
	reload one two six quic
	addresses=$(entries vip_addresses)
	ids=$(entries server_ids)
	lab_stop headgated KILL
	lab_splitter "$LAB/headgate.yaml"
	[ "$(entries vip_addresses)" = "$addresses" ] || lab_fail "other addresses:" "$addresses" "$(entries vip_addresses)"
	[ "$(entries server_ids)" = "$ids" ] || lab_fail "other server ids:" "$ids" "$(entries server_ids)"
	lab_stop headgated KILL
	configuration two >"$LAB/headgate.yaml"
	lab_splitter "$LAB/headgate.yaml"
	addresses_are_right
	addresses_number 1
	lab_assert 'd == []' "$(entries server_ids)"
	reload one two six quic
}

# {"0011": backend id}: the first two bytes of each.
ids='{bytes(e["key"]["server_id"][:2]).hex(): e["value"] for e in d}'

server_ids_are() # ID...
{
	lab_assert "sorted($ids) == $(lab_json 'sorted(d)' "[$1]")" "$(entries server_ids)"
}

test_a_server_id_leads_to_its_backend_until_that_is_gone()
{
	local names
	server_ids_are '"0011", "0012"'
	lab_assert 'all(e["key"]["server_id"][2:] == [0] * 6 for e in d)' "$(entries server_ids)"
	# Of blue and green, which both have 10.20.0.11, the lower one's.
	names=$(lab_json 'json.dumps([[e["key"], e["value"]["address"]["word"][3], e["value"]["protocol"]] for e in d])' \
		"$(entries backend_identities)")
	lab_assert "(lambda ids: ids['0011'] == min(id for id, address, protocol in names if protocol == 17 and
		address == 11 << 24 | 20 << 8 | 10))($ids)" "$(entries server_ids)" names="$names"
	reload one two six less
	# 0011's server is on its way out, and its connections go on; 0012's has another id at once.
	server_ids_are '"0011", "00aa"'
	LAB_WAIT_S=30 lab_wait "the backend to be gone" server_ids_are '"00aa"'
}

# --- changes of mode --------------------------------------------------------------------------------------------------

change() # MODE
{
	cat >"$LAB/headgate.yaml" <<-END
		interfaces: [front, back]
		services:
		  web: {address: 10.0.0.10, port: 8000, forward: $1, variants: {blue: {weight: 1, backends: ["10.20.0.11:8000"]}}}
	END
	lab_headgate reload
}

# The mode is in force, under a new id if it is another, and only modes whose replies come by say who answers.
changed_to() # MODE NUMBER
{
	local service vip origins
	service=$(lab_api GET /v1/services/web)
	vip=$(entries vips)
	origins=$(entries reply_origins)
	lab_assert "d['forward'] == '$1'" "$service"
	lab_assert "len(vip) == 1 and [s['value']['mode'] for s in d if s['key'] == vip[0]['value']] == [$2]" "$(entries services)" \
		vip="$vip"
	if [ "$2" -lt 2 ]; then
		lab_assert "len(d) == 1 and d[0]['value']['mode'] == $2" "$origins"
		lab_assert '[e["key"]["word"][3] for e in d] == [11 << 24 | 20 << 8 | 10]' "$(entries reply_addresses)"
		lab_assert 'all("server_bytes" in v and "measured" in v and "active" in v for v in d["variants"])' "$service"
	else
		lab_assert 'd == []' "$origins"
		lab_assert 'd == []' "$(entries reply_addresses)"
		lab_assert 'not any(k in x for v in d["variants"] for x in [v, *v["backends"]]
			for k in ("server_packets", "server_bytes", "measured", "active"))' "$service"
		lab_assert '"sampled" not in d and all("opened" in v and "rate" in v for v in d["variants"])' "$service"
	fi
}

test_every_mode_changes_to_every_other()
{
	local modes=(nat dnat l2dsr ipip gue) mode
	# Each of the twenty pairs is once in it.
	for mode in 0 1 0 2 0 3 0 4 1 2 1 3 1 4 2 3 2 4 3 4 0; do
		change "${modes[mode]}"
		changed_to "${modes[mode]}" $mode
	done
}

# The row of a table that begins with a word, its columns apart by one blank.
row() # WORD COMMAND...
{
	local word=$1
	shift
	lab_headgate "$@" | awk -v word="$word" '$1 == word { $1 = $1; print; exit }'
}

test_tables_show_a_dash_for_what_there_is_not()
{
	local row
	change gue
	row=$(row 10.20.0.11:8000 services web)
	[[ $row =~ \ 65536\ 0\ 0\ 0\ B\ -\ -$ ]] || lab_fail "services web" "$row" "$(lab_headgate services web)"
	row=$(row web status)
	[ "$row" = "web blue 1 100.00 % - - 0.0/s - - - -" ] || lab_fail "status" "$row" "$(lab_headgate status)"
	! lab_headgate services web | grep -iE 'established|requests|handshake' || lab_fail "columns of what nobody has"
	lab_headgate explain web --source 10.10.0.2:1234 | grep 'by gue; it answers its clients itself'
	change nat
	row=$(row web status)
	[ "$row" = "web blue 1 100.00 % - 0 0.0/s - - - -" ] || lab_fail "status" "$row" "$(lab_headgate status)"
}

nobody_is_left()
{
	lab_assert 'd == []' "$(entries backend_identities)"
}

test_an_endpoint_that_two_services_share_answers_while_one_of_them_wants_it()
{
	local both='{address: 10.0.0.%s, port: 8000, forward: %s, variants: {blue: {weight: 1, backends: ["10.20.0.11:8000"]}}}'
	local case
	printf 'interfaces: [front, back]\nservices: {}\n' >"$LAB/headgate.yaml"
	lab_headgate reload
	LAB_WAIT_S=30 lab_wait "the service before to be gone" nobody_is_left
	lab_assert 'd == []' "$(entries reply_origins)"
	for case in "nat nat 1" "nat ipip 1" "ipip dnat 1" "l2dsr gue 0" "dnat gue 1" "ipip ipip 0" "nat nat 1"; do
		# shellcheck disable=SC2086,SC2059 # words, a format
		set -- $case
		# shellcheck disable=SC2059
		printf "interfaces: [front, back]\nservices:\n  a: $both\n  b: $both\n" 10 "$1" 11 "$2" >"$LAB/headgate.yaml"
		lab_headgate reload
		lab_assert "len(d) == $3" "$(entries reply_origins)"
		lab_assert "len(d) == $3" "$(entries reply_addresses)"
	done
}

# Two ports of one backend: it is of no service's any more when the second is gone.
test_an_address_that_two_endpoints_share_answers_while_one_of_them_is_there()
{
	local one two
	one=$(variants 10.20.0.11:8000) two=$(variants 10.20.0.11:8001)
	cat >"$LAB/headgate.yaml" <<-END
		interfaces: [front, back]
		services:
		  a: {address: 10.0.0.10, port: 8000, forward: nat, drain: {timeout: 1s, limit: 1s}, $one}
		  b: {address: 10.0.0.10, port: 8001, forward: dnat, drain: {timeout: 1s, limit: 1s}, $two}
	END
	lab_headgate reload
	lab_assert 'len(d) == 2' "$(entries reply_origins)"
	sed -i '/  a:/d' "$LAB/headgate.yaml"
	lab_headgate reload
	LAB_WAIT_S=30 lab_wait "the first to be gone" entries_number reply_origins 1
	entries_number reply_addresses 1
	sed -i '/  b:/d; s/services:/services: {}/' "$LAB/headgate.yaml"
	lab_headgate reload
	LAB_WAIT_S=30 lab_wait "the second to be gone" entries_number reply_addresses 0
}

entries_number() # MAP COUNT
{
	lab_assert "len(d) == $2" "$(entries "$1")"
}

# --- what programs read -----------------------------------------------------------------------------------------------

network_order() # PORT
{
	echo $(($1 >> 8 | ($1 & 255) << 8))
}

service_at() # PORT
{
	echo "[s['value'] for s in d for e in vips if e['key']['port'] == $(network_order "$1") and e['value'] == s['key']][0]"
}

test_tunnels_have_their_sources_port_and_mtu()
{
	local services vips
	cat >"$LAB/headgate.yaml" <<-END
		interfaces: [front, back]
		services:
		  ipip: {address: 10.0.0.10, port: 8000, forward: ipip, $(variants 10.20.0.11)}
		  gue: {address: 10.0.0.10, port: 8001, forward: gue, $(variants "fd00:20::11"),
		        tunnel: {source: [10.7.0.0/20, "fd07::/120"], port: 5555}}
		  own: {address: 10.0.0.10, port: 8002, forward: gue, $(variants 10.20.0.11)}
	END
	ip -n "$LAB_NAME-splitter" link set back mtu 1400
	lab_headgate reload
	services=$(entries services)
	vips=$(entries vips)
	lab_assert "(lambda s: ([o['entropy'] for o in s['outer']], s['outer'][0]['address']['word'][3] & 0xffff, s['outer'][1]['address']['word']))
		($(service_at 8000)) == ([0x1ffff, 0xffffffff], 198 | 18 << 8, [1, 0, 0, 0])" "$services" vips="$vips"
	lab_assert "(lambda s: ([o['entropy'] for o in s['outer']], s['outer'][0]['address']['word'][3] & 0xffff, s['tunnel_port']))
		($(service_at 8001)) == ([0xfff, 0xff], 10 | 7 << 8, $(network_order 5555))" "$services" vips="$vips"
	lab_assert "(lambda s: ([o['entropy'] for o in s['outer']], s['outer'][0]['address']['word'], s['tunnel_port']))
		($(service_at 8002)) == ([0, 0], [0] * 4, $(network_order 6080))" "$services" vips="$vips"
	lab_wait "the link's MTU" mtu_is 1400
	ip -n "$LAB_NAME-splitter" link set back mtu 1500
	lab_wait "the link's MTU" mtu_is 1500
}

# Of every backend, and of the subnet that they are in.
mtu_is() # MTU
{
	lab_assert "{e['value']['mtu'] for e in d if e['value']['hop'][e['value']['hop_active']]['ifindex']} == {$1}" "$(entries backends)"
	lab_assert "{e['value']['mtu'] for e in d if e['key']['prefix_bits'] == 112 and
		e['key']['address']['word'][3] == 20 << 8 | 10} == {$1}" "$(entries next_hops)"
}

test_doctor_sees_gateways_and_what_fits_into_a_tunnel()
{
	local found
	cat >"$LAB/headgate.yaml" <<-END
		interfaces: [front, back]
		services:
		  near: {address: 10.0.0.10, port: 8000, forward: l2dsr, $(variants 10.20.0.11)}
		  far: {address: 10.0.0.10, port: 8001, forward: l2dsr, $(variants 10.99.0.11)}
		  four: {address: 10.0.0.10, port: 8002, forward: gue, $(variants 10.20.0.11)}
		  six: {address: 10.0.0.10, port: 8003, forward: ipip, $(variants "fd00:20::11")}
	END
	ip -n "$LAB_NAME-splitter" route add 10.99.0.0/16 via 10.20.0.12
	ip -n "$LAB_NAME-splitter" neighbour replace 10.20.0.12 lladdr 02:00:00:00:00:12 dev back
	lab_headgate reload
	lab_wait "the daemon's warning" warned_of_gateway
	found=$(lab_headgate doctor --pins "$LAB/bpf/headgate" --config "$LAB/headgate.yaml" -o json) || true
	lab_assert 'any(c["result"] == "ok" and c["name"] == "l2dsr" and "near: 10.20.0.11" in c["what"] for c in d["checks"])' "$found"
	lab_assert 'any(c["result"] == "warn" and c["name"] == "l2dsr" and "10.20.0.12" in c["what"] for c in d["checks"])' "$found"
	lab_assert 'any(c["name"] == "mtu" and "1468" in c["what"] and "advmss 1428" in c["mend"] for c in d["checks"])' "$found"
	lab_assert 'any(c["name"] == "mtu" and "1460" in c["what"] and "advmss 1420" in c["mend"] for c in d["checks"])' "$found"
	ip -n "$LAB_NAME-splitter" route del 10.99.0.0/16
}

warned_of_gateway()
{
	lab_assert 'any("far: backend 10.99.0.11 is behind the gateway 10.20.0.12" in w for w in d["warnings"])' \
		"$(lab_api GET /v1/status)"
}

lab_begin
lab_host blue1 back 10.20.0.11 fd00:20::11
lab_greet blue1
configuration one two six >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests modes
