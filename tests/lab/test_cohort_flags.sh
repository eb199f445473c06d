#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: nat dnat
#
# Cohorts as feature flags: whose they are and what for is remembered, and they go by themselves.
set -eu
mode=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

target=(--url-host 10.0.0.10 --port 8000)

configuration() # [COHORT]
{
	cat <<-END
		interfaces: [front, back]
		services:
		  web:
		    address: 10.0.0.10
		    port: 8000
		    forward: $mode
		    variants:
		      blue:   {weight: 100, backends: ["10.20.0.11:8000"]}
		      canary: {weight: 0, backends: ["10.20.0.15:8000"]}
		    measure: all
		    drain: {on_change: reset, pace: 100%/s}
		    cohorts: [${1:-}]
	END
}

# Where a member of 10.10.9.0/24 is sent.
goes_to() # VARIANT
{
	lab_assert "d['variants'] == {'$1': 20}" \
		"$(lab_traffic client requests "${target[@]}" --source 10.10.9.1 --count 20)"
}

# Those that are not on their way out.
cohorts_are() # EXPRESSION
{
	lab_assert "(lambda cohorts: $1)([c for c in d['cohorts'] if c['state'] != 'removed'])" \
		"$(lab_api GET /v1/services/web)"
}

log_has() # PATTERN
{
	grep -q "$1" "$LAB/headgated.err" || lab_fail "not logged: $1" "$(cat "$LAB/headgated.err")"
}

dies_and_comes_back() # SECONDS-BETWEEN
{
	lab_stop headgated KILL
	sleep "$1"
	lab_splitter "$LAB/headgate.yaml"
	lab_hops_known
}

reload_says() # PATTERN
{
	local output
	output=$(lab_headgate reload)
	grep -q "$1" <<<"$output" || lab_fail "the reload does not say: $1" "$output"
}

were_reset() # COUNT
{
	lab_assert "d['variants'][1]['measured']['reset_by_drain'] == $1" "$(lab_api GET /v1/services/web)"
}

test_a_cohort_goes_by_itself_and_its_connections_as_a_change_has_them_go()
{
	lab_headgate cohort add web 10.10.9.0/24 canary --owner search --note "new tokenizer" --expires 3s
	goes_to canary
	lab_traffic_start client member keepalive "${target[@]}" --source 10.10.9.1 --connections 5 --interval 0.05
	were_reset 0
	lab_wait "the cohort to expire" cohorts_are 'not cohorts'
	goes_to blue
	lab_wait "its connections to be reset" were_reset 5
	lab_assert 'd["broken"] == 5' "$(lab_traffic_stop member)"
	log_has 'web: cohort 10.10.9.0/24 to canary has expired at .*; owner: search; note: new tokenizer'
}

test_what_is_said_of_a_cohort_survives_kill_9()
{
	lab_headgate cohort add web 10.10.9.0/24 canary --owner search --note 'new "tokenizer"' --expires 1h
	dies_and_comes_back 0
	cohorts_are '[(c["owner"], c["note"], c["by_command"]) for c in cohorts] == [("search", "new \"tokenizer\"", True)]'
	lab_headgate cohort list web >"$LAB/output"
	grep -Eq 'canary +command +(added|settled) +search +in (59m[0-9]+s|1h0m) +new "tokenizer"' "$LAB/output" ||
		lab_fail "the list:" "$(cat "$LAB/output")"
	goes_to canary
}

# Goes on from the last test.
test_a_cohort_added_again_keeps_what_is_not_said_anew()
{
	lab_headgate cohort add web 10.10.9.0/24 canary --expires 3000-01-01
	cohorts_are '[(c["owner"], c["expires"]) for c in cohorts] == [("search", "3000-01-01T00:00:00Z")]'
	lab_headgate cohort add web 10.10.9.0/24 canary --owner ranking --note "" --expires never
	cohorts_are '[(c["owner"], c["note"], c["expires"]) for c in cohorts] == [("ranking", None, None)]'
	lab_headgate cohort remove web 10.10.9.0/24
	goes_to blue
}

test_a_cohort_that_expires_while_the_daemon_is_dead_is_gone_when_it_is_back()
{
	lab_headgate cohort add web 10.10.9.0/24 canary --owner search --expires 2s
	goes_to canary
	dies_and_comes_back 2.5
	cohorts_are 'not cohorts'
	goes_to blue
	log_has 'cohort 10.10.9.0/24 (variant canary) of search has expired at'
	dies_and_comes_back 0
	cohorts_are 'not cohorts'
}

test_a_cohort_of_the_file_expires_and_stays_away()
{
	configuration "{source: 10.10.9.0/24, variant: canary, expires: \"$(date -u -d "+4 seconds" +%Y-%m-%dT%H:%M:%SZ)\"}" \
		>"$LAB/headgate.yaml"
	lab_headgate reload
	goes_to canary
	lab_wait "the cohort to expire" cohorts_are 'not cohorts'
	goes_to blue
	reload_says 'cohort 10.10.9.0/24 (variant canary), removed by command or expired at .*, stays removed'
	goes_to blue
}

test_an_expired_cohort_of_the_file_is_not_put_in_force()
{
	configuration >"$LAB/headgate.yaml"
	lab_headgate reload
	configuration "{source: 10.10.9.0/24, variant: canary, owner: search, expires: 2001-02-03}" >"$LAB/headgate.yaml"
	reload_says 'of search has expired at 2001-02-03T00:00:00Z and is not in force; take it out of the file'
	goes_to blue
	configuration >"$LAB/headgate.yaml"
	lab_headgate reload
}

refuses() # CODE MESSAGE ARGUMENT...
{
	local want=$1 message=$2 code=0
	shift 2
	lab_headgate cohort "$@" 2>"$LAB/output" || code=$?
	[ "$code" -eq "$want" ] || lab_fail "$* gave $code" "$(cat "$LAB/output")"
	grep -q -e "$message" "$LAB/output" || lab_fail "$* said" "$(cat "$LAB/output")"
}

test_flags_that_cannot_be_are_refused()
{
	refuses 1 'is over' add web 10.10.9.0/24 canary --expires 2001-02-03
	refuses 1 'expires must be' add web 10.10.9.0/24 canary --expires tomorrow
	refuses 1 'owner must be' add web 10.10.9.0/24 canary --owner "$(printf '%64d' 1)"
	refuses 1 'note must be' add web 10.10.9.0/24 canary --note $'two\nlines'
	refuses 2 '--expires takes' add web 10.10.9.0/24 canary --expires 0s
	refuses 2 'cohort add' remove web 10.10.9.0/24 --owner search
	cohorts_are 'not cohorts'
}

lab_begin
lab_standard "$mode"
lab_address client 10.10.9.1
configuration >"$LAB/headgate.yaml"
lab_splitter "$LAB/headgate.yaml"
lab_hops_known
lab_run_tests "$mode"
