#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: l2dsr ipip/tc gue
#
# Modes whose replies do not come by have a shadow as well: it gets what clients sent, not what production's tunnel carries.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"
LAB_ARMS=1

requests_are_mirrored() # NAME [OPTION...]
{
	local name=$1 service
	shift
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "$name-$service" --connections 200 "$@"
		shadow_covered "$name-$service" 999
	done
}

test_a_shadow_that_answers_as_production_does()
{
	requests_are_mirrored even
}

test_a_shadow_that_answers_ten_times_as_much_and_later()
{
	shadow_serve --factor 10 --delay-ms 100
	requests_are_mirrored longer
}

test_clients_that_reset()
{
	local service
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		lab_assert 'd["failed"] == 0' "$(shadow_clients "$service" "early-$service" --connections 100 --end abort-early)"
		lab_assert 'd["eligible"] == 100' "$(shadow_settled "$service")"
		lab_assert 'd["shadow"]["wrong"] == 0' "$(shadow_compare "early-$service")"
	done
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
}

lab_begin
shadow_hosts "$mode"
shadow_serve --factor 1
shadow_configuration "$mode" "sample: 100" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "shadow $mode"
