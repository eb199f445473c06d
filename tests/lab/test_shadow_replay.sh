#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Engine replay: whatever a client sends, however much, and no more memory than allowed.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

count=${LAB_LARGE:+1000}
count=${count:-200}

# What waits is at most 32 MiB; beside that, what the daemon itself takes in the meantime.
memory_mib=32
slack_mib=8

daemon_kib()
{
	awk '$1 == "RssAnon:" { print $2 }' "/proc/$(lab_pid headgated)/status"
}

# Writes down the most that the daemon has at a time, until it is told to end.
memory_begin()
{
	daemon_kib >"$LAB/memory.before"
	lab_start splitter memory bash -c \
		"while sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' /proc/$(lab_pid headgated)/status; do sleep 0.02; done"
}

memory_end()
{
	local before most
	lab_stop memory
	before=$(cat "$LAB/memory.before")
	most=$(sort -n "$LAB/memory.log" | tail -n 1)
	echo "memory of the daemon: $before KiB before, $most KiB at most" >&2
	[ "$((most - before))" -le $(((memory_mib + slack_mib) << 10)) ] || lab_fail "it grew by $((most - before)) KiB"
}

# A client that is faster than its shadow for long is not mirrored whole, as no more may wait than fits.
test_uploads_of_100_megabytes_arrive_whole()
{
	local service
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		memory_begin
		lab_exec client "$LAB_SOURCE/shadow_client.py" upload --host "${SHADOW_VIP[$service]}" --run "upload-$service" \
			--record "$LAB/client.truth" --bytes 100000000 --rate 25000000 >"$LAB/upload-$service.clients"
		lab_assert 'd["failed"] == 0' "$(cat "$LAB/upload-$service.clients")"
		cat "$LAB/upload-$service.clients" >&2
		shadow_settled "$service" >"$LAB/upload-$service.status"
		memory_end
		lab_wait "all that the shadow has" shadow_is_the_truth "upload-$service"
		shadow_covered "upload-$service" 1000
	done
}

test_requests_and_answers_of_every_length()
{
	local service factor
	for factor in 10 0.1; do
		shadow_serve --factor $factor
		for service in $SHADOW_SERVICES; do
			shadow_run "$service" "requests$factor-$service" --connections "$count" --concurrency 8 --pause-ms 2
			shadow_covered "requests$factor-$service" 999
		done
	done
}

test_clients_that_reset()
{
	shadow_serve --factor 1
	shadow_remember web4
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 abort --connections 200 --end abort-early)"
	lab_assert 'd["eligible"] == 200' "$(shadow_settled web4)"
	lab_wait "no connection at the shadow" shadow_has_no_connection
	lab_assert 'd["shadow"]["wrong"] == 0' "$(shadow_compare abort)"
}

# More waits for it than may: production goes on, and the daemon has no more than it is allowed.
test_a_shadow_that_does_not_read_costs_no_more_than_allowed()
{
	shadow_serve --read-pause-ms 100000
	shadow_remember web4
	memory_begin
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 unread --connections 100 --concurrency 100 --requests 20)"
	lab_assert 'd["whole"] == 0 and d["eligible"] == 100' "$(LAB_WAIT_S=30 shadow_settled web4)"
	memory_end
	lab_assert 'd["production"]["same"] == 100 and d["shadow"]["wrong"] == 0' "$(shadow_compare unread)"
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

lab_begin
shadow_hosts nat
shadow_serve --factor 1
shadow_configuration nat "sample: 100" "engine: replay" "memory: ${memory_mib}MiB" "replay_connection_memory: 16MiB" \
	"linger: 5s" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "replay"
