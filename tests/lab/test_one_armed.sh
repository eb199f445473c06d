#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# One interface for clients and backends alike: every frame leaves where it came in (XDP_TX).
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

test_clients_are_answered_over_both_families()
{
	local address
	for address in 10.0.0.10 fd00:aa::10; do
		lab_assert 'd["failed"] == 0 and set(d["variants"]) == {"blue", "green"}' \
			"$(lab_traffic client requests --url-host $address --port 80 --count 300)"
	done
}

test_bytes_survive()
{
	head -c 16M /dev/urandom >"$LAB/files/16M"
	lab_exec client curl -sSf -m 30 -o "$LAB/downloaded" http://10.0.0.10/file/16M
	cmp "$LAB/downloaded" "$LAB/files/16M"
	lab_exec client curl -sSf -m 30 -T "$LAB/files/16M" http://10.0.0.10/upload/16M
	cmp "$LAB"/*/upload/16M "$LAB/files/16M"
}

LAB_ARMS=1
lab_begin
lab_standard "$mode"
cat >"$LAB/headgate.yaml" <<END
$(lab_interfaces front)
services:
  web4:
    address: 10.0.0.10
    port: 80
    protocol: tcp
    forward: $mode
    variants:
      blue:  {weight: 50, backends: ["10.20.0.11:8000", "10.20.0.12:8000"]}
      green: {weight: 50, backends: ["10.20.0.13:8000"]}
  web6:
    address: fd00:aa::10
    port: 80
    protocol: tcp
    forward: $mode
    variants:
      blue:  {weight: 50, backends: ["[fd00:20::11]:8000", "[fd00:20::12]:8000"]}
      green: {weight: 50, backends: ["[fd00:20::13]:8000"]}
END
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "one-armed $mode"
