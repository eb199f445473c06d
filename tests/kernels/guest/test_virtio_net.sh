#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# Headgate on a driver of real network cards, in native mode, between a client and a server with such cards too:
#   client eth0 ── eth1 "front" │splitter│ "back" eth2 ── eth3 server
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../../lab/lab.sh"

# Gives a card of this machine to a host; when the host's namespace goes, the card comes back under its new name.
card() # NUMBER HOST INTERFACE ADDR4 ADDR6
{
	local name
	name=$(ip -o link | sed -n "s/^[0-9]*: \([^:]*\):.* 52:54:00:00:00:0$1 .*/\1/p")
	ip link set "$name" netns "$LAB_NAME-$2" name "$3"
	ip -n "$LAB_NAME-$2" -batch - <<-END
		link set $3 up
		address add $4/16 dev $3
		address add $5/64 dev $3 nodad
	END
}

# The lab's own cables make room.
lay_out()
{
	ip -n "$LAB_NAME-splitter" link delete front
	ip -n "$LAB_NAME-splitter" link delete back
	lab_namespace client
	lab_namespace server
	card 0 client eth0 10.10.0.2 fd00:10::2
	card 1 splitter front 10.10.0.1 fd00:10::1
	card 2 splitter back 10.20.0.1 fd00:20::1
	card 3 server eth0 10.20.0.11 fd00:20::11
	lab_default_route server
	ip -n "$LAB_NAME-client" route add 10.0.0.0/24 via 10.10.0.1
	ip -n "$LAB_NAME-client" route add fd00:aa::/64 via fd00:10::1
	lab_nginx server blue
}

test_it_is_attached_in_native_mode()
{
	lab_exec splitter ethtool -i front | grep -qx 'driver: virtio_net'
	lab_assert '{i["name"]: i["mode"] for i in d["interfaces"]} == {"front": "native", "back": "native"}' \
		"$(lab_api GET /v1/status)"
}

test_requests_are_answered_over_both_families()
{
	local address service=web4 before
	for address in 10.0.0.10 fd00:aa::10; do
		before=$(lab_api GET /v1/services/$service)
		lab_assert 'd["failed"] == 0 and d["variants"] == {"blue": 200}' \
			"$(lab_traffic client requests --url-host $address --port 8000 --count 200)"
		# Without state a SYN that is said again, as here where all is slow, counts again.
		lab_assert 'd["variants"][0]["opened"] - before["variants"][0]["opened"] >= 200' \
			"$(lab_api GET /v1/services/$service)" before="$before"
		service=web6
	done
}

test_bytes_survive()
{
	head -c 4M /dev/urandom >"$LAB/files/4M"
	lab_exec client curl -sSf -m 120 -o "$LAB/downloaded" http://10.0.0.10:8000/file/4M
	cmp "$LAB/downloaded" "$LAB/files/4M"
	lab_exec client curl -sSf -m 120 -T "$LAB/files/4M" "http://[fd00:aa::10]:8000/upload/4M"
	cmp "$LAB/server/upload/4M" "$LAB/files/4M"
}

lab_begin
lay_out
cat >"$LAB/headgate.yaml" <<END
interfaces: [{name: front, attach: native}, {name: back, attach: native}]
services:
  web4:
    address: 10.0.0.10
    port: 8000
    protocol: tcp
    forward: $mode
    variants:
      blue: {weight: 1, backends: ["10.20.0.11:8000"]}
  web6:
    address: fd00:aa::10
    port: 8000
    protocol: tcp
    forward: $mode
    variants:
      blue: {weight: 1, backends: ["[fd00:20::11]:8000"]}
END
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "virtio_net $mode"
