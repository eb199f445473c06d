#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat/tc
#
# A shadow of each kind beside production: it gets what clients send, byte for byte and in order, whatever it answers and
# when; and its answers are heard by no client. LAB_LARGE=1: with 1000 connections of each kind and family.
set -eu
mode=$1
count=${LAB_LARGE:+1000}
count=${count:-100}
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

# Beside its coverage: as many bytes as the shadow has sent, and every request answered. How many responses there are the
# splitter knows where the shadow keeps pace: one that begins in the middle of a segment is not seen.
is_measured() # RUN
{
	lab_assert 'd["connected"] == d["eligible"] and d["clones_lost"] == 0 and d["status"]["2xx"] == d["responses"] and
		(d["coverage"] < 1 or d["response_bytes"] == truth["shadow"]["sent_bytes"])' "$(cat "$LAB/$1.status")" \
		truth="$(cat "$LAB/$1.truth")"
}

keeps_pace() # RUN
{
	lab_assert 'd["requests"] == truth["requests"] and d["requests"] >= d["responses"] >= 0.9 * d["requests"] and
		d["responses"] + d["unanswered"] == d["requests"] and d["compared"] >= 0.9 * d["requests"]' "$(cat "$LAB/$1.status")" \
		truth="$(cat "$LAB/$1.truth")"
}

# Connections of 5 requests each, of both families.
requests_are_mirrored() # NAME [OPTION...]
{
	local name=$1 service
	shift
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "$name-$service" --connections "$count" "$@"
		shadow_covered "$name-$service" 999
		is_measured "$name-$service"
	done
}

# First, so that what follows can be compared with it.
test_while_it_is_off_production_answers_and_the_shadow_gets_nothing()
{
	local service
	for service in $SHADOW_SERVICES; do
		lab_headgate shadow "$service" off
		shadow_remember "$service"
		shadow_clients "$service" "off-$service" --connections "$count" >"$LAB/off-$service.clients"
		lab_assert 'd["failed"] == 0' "$(cat "$LAB/off-$service.clients")"
		lab_assert 'd["eligible"] == d["packets"] == 0 and d["state"] == "off"' "$(shadow_since "$service")"
		lab_assert 'd["shadow"]["absent"] == d["production"]["same"] == d["connections"]' "$(shadow_compare "off-$service")"
		lab_headgate shadow "$service" on
	done
}

test_production_answers_as_if_there_were_no_shadow()
{
	local service
	shadow_serve --factor 1
	requests_are_mirrored even
	for service in $SHADOW_SERVICES; do
		keeps_pace "even-$service"
		lab_assert 'd["answers"] == off["answers"]' "$(cat "$LAB/even-$service.clients")" off="$(cat "$LAB/off-$service.clients")"
	done
}

test_a_shadow_that_answers_ten_times_as_much()
{
	shadow_serve --factor 10
	# It takes its time for so much; what waits for it in the meantime must fit.
	requests_are_mirrored longer --concurrency 8 --pause-ms 3
}

test_a_shadow_that_answers_a_tenth()
{
	shadow_serve --factor 0.1
	requests_are_mirrored shorter
}

test_a_shadow_that_takes_half_a_second_for_each_answer()
{
	shadow_serve --delay-ms 500
	requests_are_mirrored slower
}

test_streams_of_events()
{
	local service
	shadow_serve --factor 10
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "events-$service" --connections "$count" --concurrency 100 --requests 2 --events 5/20
		shadow_covered "events-$service" 999
		is_measured "events-$service"
	done
}

test_requests_in_a_pipeline()
{
	shadow_serve --factor 2 --delay-ms 20
	requests_are_mirrored pipeline --pipeline 5 --body 15000
}

# A reset overtakes what the shadow has not read yet: that is said to be lost. It is not so if the shadow keeps pace.
test_clients_that_reset_at_the_end()
{
	local service end
	shadow_serve --factor 1
	for service in $SHADOW_SERVICES; do
		for end in abort abort-early; do
			shadow_remember "$service"
			lab_assert 'd["failed"] == 0' "$(shadow_clients "$service" "$end-$service" --connections 100 --end $end --concurrency 4 --pause-ms 5)"
			lab_assert 'd["eligible"] == 100 == d["whole"] + d["ended"]["lost"] and d["whole"] >= 90' "$(shadow_settled "$service")"
			lab_assert 'd["shadow"]["same"] + d["shadow"]["prefix"] == 100 and d["shadow"]["same"] >= 90' "$(shadow_compare "$end-$service")"
		done
		lab_wait "no connection at the shadow" shadow_has_no_connection
	done
}

# What it has acknowledged before it closed it has got, as far as anybody can tell from outside.
test_a_shadow_that_closes_early_gets_the_beginning()
{
	local service
	shadow_serve --close-after 2
	for service in $SHADOW_SERVICES; do
		shadow_remember "$service"
		lab_assert 'd["failed"] == 0' "$(shadow_clients "$service" "closes-$service" --connections 100 --pause-ms 20)"
		lab_assert 'd["eligible"] == d["connected"] == 100 == d["whole"] + sum(d["ended"].values()) and d["whole"] <= 50' \
			"$(shadow_settled "$service")"
		lab_assert 'd["production"]["same"] == 100 and d["shadow"]["wrong"] == 0 and d["shadow"]["prefix"] >= 50' \
			"$(shadow_compare "closes-$service")"
	done
}

test_statuses_and_lengths_are_compared()
{
	local service
	shadow_serve --status 503 --factor 10
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "compared-$service" --connections 200 --pause-ms 5
		keeps_pace "compared-$service"
		lab_assert 'd["status"]["5xx"] == d["responses"] and d["same_status"] == 0' "$(cat "$LAB/compared-$service.status")"
		lab_assert '[m["requests"] for m in d["matrix"] if (m["production"], m["shadow"]) ==
			("2xx", "5xx")] == [d["compared"]]' "$(cat "$LAB/compared-$service.status")"
		lab_assert 'sum(b["requests"] for b in d["length_difference"]) == d["compared"] and
			sum(b["requests"] for b in d["length_difference"] if b["from"] > 0) >= d["compared"] * 0.99' \
			"$(cat "$LAB/compared-$service.status")"
	done
}

test_a_shadow_that_nobody_listens_at_has_refused_all()
{
	local service
	lab_stop shadow-server KILL
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "refused-$service" --connections 100
		lab_assert 'd["ended"]["refused"] == 100 and d["whole"] == 0' "$(cat "$LAB/refused-$service.status")"
	done
	shadow_serve --factor 1
	requests_are_mirrored again
}

test_a_shadow_that_reads_slowly_gets_the_beginning_and_no_more_is_said()
{
	local service
	shadow_serve --read-pause-ms 200
	for service in $SHADOW_SERVICES; do
		shadow_run "$service" "reads-$service" --connections 50
		lab_assert 'd["eligible"] == 50' "$(cat "$LAB/reads-$service.status")"
	done
	shadow_serve --factor 1
}

# Last: of all that came in at the clients' host since the beginning.
test_no_client_heard_of_a_shadow()
{
	local said
	said=$(watch_end client)
	echo "$said" >&2
	lab_assert 'd["leaked"] == 0 and d["signed"] > 10000' "$said"
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

lab_begin
shadow_hosts "$mode"
shadow_serve --factor 1
shadow_configuration "$mode" "sample: 100" "pause: off" "linger: 60s" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "shadow $mode"
