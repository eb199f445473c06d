#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat/tc nat/generic
#
# Copies for shadows, up to the mirror's far end; what becomes of them there is tested elsewhere. And what must become
# of production meanwhile: nothing.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

in_splitter() { lab_exec splitter "$@"; }
map() { echo "$LAB"/bpf/headgate/v*/maps/"$1"; }

# The kernel tells of a change, and headgated looks.
nudge()
{
	in_splitter ip address add 10.99.0.1/32 dev lo
	in_splitter ip address delete 10.99.0.1/32 dev lo
}

# What all tests but the first begin with.
shadow_on()
{
	grep -q shadow: "$LAB/headgate.yaml" || { configuration "$shadow" && lab_headgate reload; }
	lab_wait "the mirror" mirror_is_whole
}

configuration() # SHADOW
{
	cat >"$LAB/headgate.yaml" <<-END
		$(lab_interfaces front back)
		services:
		  web:
		    address: 10.0.0.10
		    port: 80
		    protocol: tcp
		    forward: $mode
		    variants:
		      blue: {weight: 100, backends: ["10.20.0.11:8000"]}
		    $1
	END
}

mirror_ifindex() { lab_json 'd[0]["ifindex"]' "$(in_splitter ip -j link show hg-mirror)"; }
far_program() { lab_json 'd[0]["xdp"]["prog"]["id"]' "$(in_splitter ip -d -j link show hg-shadows)"; }

# And the hooks know of it, last of all the map that XDP copies by.
mirror_is_whole()
{
	in_splitter ip link show up dev hg-mirror | grep -q LOWER_UP &&
		lab_assert 'd[0]["xdp"]["prog"]["name"] == "headgate_mirror"' "$(in_splitter ip -d -j link show hg-shadows)" &&
		lab_assert "d['formatted']['value']['mirror'] == $(mirror_ifindex)" \
			"$(bpftool -j map lookup pinned "$(map shadow_guard)" key 0 0 0 0)" &&
		{ [ "$LAB_ATTACH" = generic ] || bpftool map dump pinned "$(map mirrors)" | grep -q 'Found 2 elements'; }
}

no_mirror() { ! in_splitter ip link show hg-mirror 2>/dev/null; }

# Of the service with id 1.
clones_lost()
{
	lab_json 'sum(cpu["value"]["clones_lost"] for cpu in d["formatted"]["values"])' \
		"$(bpftool -j map lookup pinned "$(map shadow_counters)" key 1 0 0 0)"
}

download() { lab_exec client curl -sSf -m 60 "${@:2}" -o "$LAB/downloaded" "http://10.0.0.10/file/$1" && cmp "$LAB/downloaded" "$LAB/files/$1"; }
upload() { lab_exec client curl -sSf -m 60 "${@:2}" -T "$LAB/files/$1" "http://10.0.0.10/upload/$1" && cmp "$LAB"/blue1/upload/"$1" "$LAB/files/$1"; }

# A program in place of that at the far end: what is no copy as the programs there want it is dropped, the rest passes,
# and so can be captured.
show_copies()
{
	[ -e "$LAB/bpf/show" ] || clang -target bpf -O2 -x c -c -o "$LAB/show.o" - <<-'END'
		struct frame { unsigned int data, end, data_meta; };
		__attribute__((section("xdp"), used)) int show(struct frame *frame)
		{
			unsigned char *data = (void *)(long)frame->data, *end = (void *)(long)frame->end;
			unsigned int *magic = (void *)(long)frame->data_meta;
			if (data + 14 > end)
				return 1;
			if (data[0] == 2 && data[1] == 'h' && data[2] == 'g' && data[3] == 1 && !data[4] && data[5] == 1)
				return 2;
			return (void *)(magic + 7) <= (void *)data && *magic == 0x68676d31 ? 2 : 1;
		}
	END
	[ -e "$LAB/bpf/show" ] || bpftool prog load "$LAB/show.o" "$LAB/bpf/show" type xdp
	in_splitter ip link set hg-mirror mtu 3000 # what a program without XDP_FLAGS for pieces takes
	in_splitter bpftool net attach xdp pinned "$LAB/bpf/show" dev hg-shadows overwrite
}

capture() # HOST INTERFACE NAME FILTER
{
	lab_start "$1" "capture-$3" tcpdump --immediate-mode -U -n -s 0 -B 32768 -i "$2" -w "$LAB/$3.pcap" "$4"
	lab_wait "tcpdump" grep -q 'listening on' "$LAB/capture-$3.err"
}

test_without_a_shadow_there_is_no_mirror()
{
	nudge
	download 1M
	no_mirror
}

test_a_shadow_has_the_mirror_made()
{
	shadow_on
	lab_assert 'all(l["mtu"] == 9216 for l in d) and not any(a["scope"] for l in d for a in l["addr_info"])' \
		"[$(for end in hg-mirror hg-shadows; do in_splitter ip -j address show $end; done | sed 's/^\[//; s/\]$//' | paste -sd,)]"
	in_splitter ethtool -k hg-mirror | grep -q '^tx-checksumming: off'
	in_splitter ethtool -k hg-mirror | grep -q '^tcp-segmentation-offload: off'
	in_splitter tc filter show dev hg-shadows ingress | grep -q 'headgate_mirror:'
	in_splitter ip link show hg-shadows | grep -q 'xdp'
}

# With the daemon gone, which would put its own program back.
test_each_segment_with_payload_is_copied_once()
{
	local compared before
	shadow_on
	before=$(clones_lost)
	lab_stop headgated KILL
	show_copies
	capture client eth0 client 'tcp dst port 80'
	capture splitter hg-shadows mirror tcp
	download 1M
	upload 1M --limit-rate 4M
	sleep 0.3 # for what is on its way to the captures
	lab_stop capture-client
	lab_stop capture-mirror
	compared=$("$LAB_SOURCE/copies.py" "$LAB/client.pcap" "$LAB/mirror.pcap")
	lab_assert 'd["sent_bytes"] > 1 << 20 and d["acknowledgements"] > 10 and not d["too_many"] and not d["idle_copies"]' "$compared"
	if [ "$LAB_ATTACH" = generic ]; then
		lab_assert 'd["missing"] == d["sent"]' "$compared"
		lab_assert "d >= $before + 700" "$(clones_lost)"
	else
		lab_assert 'not d["missing"]' "$compared"
		lab_assert "d == $before" "$(clones_lost)"
	fi
	in_splitter ip link delete hg-mirror
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
}

test_a_deleted_mirror_is_made_anew_and_production_goes_on()
{
	local former
	shadow_on
	former=$(mirror_ifindex)
	download 8M --limit-rate 4M &
	lab_track $! download
	upload 8M --limit-rate 4M &
	lab_track $! upload
	sleep 0.5
	in_splitter ip link delete hg-mirror
	lab_wait "another mirror" mirror_is_whole
	[ "$(mirror_ifindex)" != "$former" ]
	wait %1
	wait %2
}

test_a_mirror_that_is_down_is_brought_up()
{
	local former
	shadow_on
	former=$(mirror_ifindex)
	in_splitter ip link set hg-shadows down
	lab_wait "the mirror" mirror_is_whole
	[ "$(mirror_ifindex)" = "$former" ]
	download 1M
}

test_a_new_daemon_takes_the_mirror_over()
{
	local former program
	shadow_on
	former=$(mirror_ifindex) program=$(far_program)
	lab_stop headgated KILL
	mirror_is_whole
	upload 1M
	rm -r "$LAB"/bpf/headgate/v*/programs # as for a daemon of another build
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
	shadow_on
	[ "$(mirror_ifindex)" = "$former" ]
	lab_wait "the new program" program_is_not "$program"
}

program_is_not() { [ "$(far_program)" != "$1" ]; }

test_an_interface_of_that_name_is_left_alone()
{
	shadow_on
	lab_stop headgated
	in_splitter ip link delete hg-mirror
	in_splitter ip link add hg-mirror type bridge
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
	lab_wait "the refusal" grep -q 'hg-mirror and hg-shadows are to be' "$LAB/headgated.err"
	download 1M
	in_splitter ip -d link show hg-mirror | grep -q bridge
	in_splitter ip link delete hg-mirror
	lab_wait "the mirror" mirror_is_whole
}

test_detach_takes_the_mirror_away()
{
	shadow_on
	lab_headgate detach
	lab_wait "headgated's end" lab_ended headgated
	no_mirror
	[ ! -e "$LAB/bpf/headgate" ]
}

lab_begin
lab_host client front 10.10.0.2 fd00:10::2
lab_host blue1 back 10.20.0.11 fd00:20::11
[ "$mode" != dnat ] || lab_default_route blue1
lab_nginx blue1 blue
lab_host shadow1 back 10.20.0.19 fd00:20::19
lab_nginx shadow1 shadow
shadow='shadow: {backends: ["10.20.0.19:8000"], sample: 100}'
head -c 1M /dev/urandom >"$LAB/files/1M"
head -c 8M /dev/urandom >"$LAB/files/8M"
configuration ""
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "mirror $mode"
