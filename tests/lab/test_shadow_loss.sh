#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: inline replay
#
# One packet in a hundred is lost: on its way to the shadow, on the way back, or between clients and production, who then
# send it again.
set -eu
engine=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

# Loses at a host what an nftables match is true of, when it comes in or goes out.
lose() # HOST prerouting|output MATCH
{
	lab_exec "$1" nft -f - <<-END
		table inet lost {
			chain lost {
				type filter hook $2 priority -300;
				$3 numgen random mod 100 == 0 counter drop
			}
		}
	END
}

# Prints how many were lost.
lose_no_more() # HOST
{
	lab_exec "$1" nft list table inet lost | sed -n 's/.*counter packets \([0-9]*\).*/\1/p'
	lab_exec "$1" nft delete table inet lost
}

# All that is counted as whole has its digests (shadow_run sees to that), most is, and nobody is left waiting.
is_repaired() # NAME HOST HOOK MATCH
{
	local service lost
	lossy=$2
	trap 'lose_no_more "$lossy" >/dev/null 2>&1 || true' EXIT
	lose "$2" "$3" "$4"
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "$1-$service" --connections 300 --concurrency 8 --pause-ms 2
		if [ "$engine" = replay ]; then
			shadow_covered "$1-$service" 1000
		else
			shadow_covered "$1-$service" 980
		fi
	done
	lost=$(lose_no_more "$2")
	[ "$lost" -gt 50 ] || lab_fail "only $lost packets were lost"
	echo "$1: $lost packets were lost: $(cat "$LAB/$1-web4.status")" >&2
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_packets_lost_on_the_way_to_the_shadow()
{
	local service
	is_repaired to shadow prerouting 'tcp dport 8000'
	for service in $SHADOW_SERVICES; do
		[ "$engine" = replay ] || lab_assert 'd["repaired"] > 0' "$(cat "$LAB/to-$service.status")"
	done
}

test_packets_lost_on_the_way_back()
{
	is_repaired back shadow output 'tcp sport 8000'
}

# Production gets them when they are sent again; the shadow has got them before that.
test_packets_that_only_production_loses()
{
	is_repaired beyond blue1 prerouting 'tcp dport 8000'
}

# Nobody has got them, and then both.
test_packets_that_clients_lose()
{
	is_repaired before client output 'tcp dport 8000'
}

# The shadow gets the beginning only: it is counted as lost, and forgets its connection when the client has ended.
test_a_shadow_that_everything_is_lost_to_is_left_with_nothing()
{
	local service
	trap 'lose_no_more shadow >/dev/null 2>&1 || true' EXIT
	lab_exec shadow nft -f - <<-END
		table inet lost {
			chain lost {
				type filter hook prerouting priority -300;
				tcp dport 8000 tcp flags & (syn | rst) == 0 meta length > 100 counter drop
			}
		}
	END
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "all-$service" --connections 50 --body 4000
		lab_assert 'd["whole"] == 0' "$(cat "$LAB/all-$service.status")"
	done
	[ "$(lose_no_more shadow)" -gt 50 ]
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
}

lab_begin
shadow_hosts nat
shadow_serve --factor 2
shadow_configuration nat "sample: 100" "engine: $engine" "linger: 2s" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "loss $engine"
