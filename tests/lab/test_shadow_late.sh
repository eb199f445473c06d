#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A shadow whose SYN-ACK comes late: what clients have sent in the meantime waits for it.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

# The shadow's SYN-ACKs, and only they, take a way out that is so slow.
syn_acks_come_after() # MILLISECONDS
{
	lab_stop late
	lab_start shadow late "$LAB_SOURCE/late.py" --tun late --device eth0 --delay-ms "$1" \
		--to-mac "$(lab_mac splitter back)" --from-mac "$(lab_mac shadow eth0)"
	lab_wait "the slow way" grep -q ready "$LAB/late.log"
	ip -n "$LAB_NAME-shadow" link set late up
	ip -n "$LAB_NAME-shadow" route replace default dev late table 100
	ip -n "$LAB_NAME-shadow" -6 route replace default dev late table 100
}

# As many connections as fit the stash at once.
arrives_late() # MILLISECONDS
{
	local service
	syn_acks_come_after "$1"
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "late$1-$service" --connections 100
		shadow_covered "late$1-$service" 990
		lab_assert "d['connect_ms']['p99'] >= $1 * 0.875 and d['requests'] >= 495" "$(cat "$LAB/late$1-$service.status")"
	done
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_a_syn_ack_after_50_ms()
{
	arrives_late 50
}

test_a_syn_ack_after_a_second()
{
	arrives_late 1000
}

# More than may wait: it is said to be late, and the shadow is left with no connection that goes nowhere.
test_more_than_may_wait_is_counted_as_late()
{
	local service
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "much-$service" --connections 20 --requests 40
		lab_assert 'd["ended"]["late"] + d["ended"]["evicted"] + d["whole"] == 20 and d["ended"]["late"] > 0' \
			"$(cat "$LAB/much-$service.status")"
	done
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
}

lab_begin
shadow_hosts nat
shadow_serve --factor 1
ip -n "$LAB_NAME-shadow" rule add fwmark 1 lookup 100
ip -n "$LAB_NAME-shadow" -6 rule add fwmark 1 lookup 100
lab_exec shadow nft -f - <<-END
	table inet late {
		chain output {
			type route hook output priority 0;
			tcp sport 8000 tcp flags & (syn | ack) == (syn | ack) meta mark set 1
		}
	}
END
shadow_configuration nat "sample: 100" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "late shadow"
