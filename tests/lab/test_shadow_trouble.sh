#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# modes: inline replay
#
# A shadow that is killed, frozen, unreachable or talks nonsense, and a daemon that is killed while it mirrors: no request
# to production fails or takes longer. Runs with and without mirroring take turns.
set -eu
engine=$1
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/shadow.sh
. "$(dirname "$0")/shadow.sh"

rounds=${LAB_LARGE:+9}
rounds=${rounds:-3}

run() # NAME
{
	shadow_clients web4 "$1" --connections 100 --concurrency 8 --body 20000 >>"$LAB/$1.clients"
}

# The slowest of a hundred requests, in the middle one of several runs: with trouble within noise of without. A segment
# that had to be sent again would be 200 ms.
noise='(lambda middle: middle(other) <= 3 * middle(d) + 5)(lambda runs: sorted(r["p99_ms"] for r in runs)[len(runs) // 2])'

is_within_noise() # NAME
{
	local without with
	without="[$(paste -sd, "$LAB/without-$1.clients")]" with="[$(paste -sd, "$LAB/with-$1.clients")]"
	lab_assert '[run["failures"] for run in d + other if run["failed"] or run["requests"] != 500] == []' "$without" other="$with"
	lab_json '"p99 without: %s ms, with: %s ms" % tuple(sorted(r["p99_ms"] for r in runs) for runs in (d, other))' "$without" \
		other="$with" >&2
	lab_assert "$noise" "$without" other="$with"
}

is_quiet() # NAME
{
	[ "$(lab_json "$noise" "[$(paste -sd, "$LAB/without-$1.clients")]" other="[$(paste -sd, "$LAB/with-$1.clients")]")" = True ]
}

# While a command has made trouble, and while nothing is mirrored, in turns; more of them where the machine is noisy.
compared() # NAME
{
	local round
	for ((round = 0; round < 3 * rounds; round++)); do
		[ $((round % rounds)) -ne 0 ] || [ $round -eq 0 ] || ! is_quiet "$1" || break
		lab_headgate shadow web4 off
		run "without-$1"
		lab_headgate shadow web4 on
		run "with-$1"
	done
	is_within_noise "$1"
}

# All is well again: what is mirrored from now on is whole.
is_well_again() # NAME
{
	shadow_serve --factor 1
	lab_headgate shadow web4 on
	LAB_WAIT_S=30 lab_wait "mirrored connections to end" shadow_is_settled web4
	shadow_run web4 "well-$1" --connections 100
	shadow_covered "well-$1" 999
	lab_wait "no connection at the shadow" shadow_has_no_connection
}

test_a_shadow_that_is_killed_while_it_answers()
{
	local round
	for ((round = 0; round < rounds; round++)); do
		lab_headgate shadow web4 off
		run without-killed
		lab_headgate shadow web4 on
		run with-killed &
		sleep 0.1
		lab_stop shadow-server KILL
		wait $!
		shadow_serve --factor 10
	done
	is_within_noise killed
	is_well_again killed
}

test_a_shadow_where_nobody_listens()
{
	lab_stop shadow-server KILL
	compared refused
	is_well_again refused
}

test_a_shadow_that_is_frozen()
{
	trap 'lab_signal CONT shadow-server' EXIT
	lab_signal STOP shadow-server
	compared frozen
	lab_signal CONT shadow-server
	is_well_again frozen
}

test_a_shadow_behind_a_firewall()
{
	trap 'lab_exec shadow nft delete table inet firewall 2>/dev/null || true' EXIT
	lab_exec shadow nft -f - <<-END
		table inet firewall {
			chain input {
				type filter hook input priority 0;
				tcp dport 8000 drop
			}
		}
	END
	compared firewalled
	lab_exec shadow nft delete table inet firewall
	is_well_again firewalled
}

test_a_shadow_that_talks_nonsense()
{
	shadow_serve --garbage
	compared nonsense
	is_well_again nonsense
}

# Nobody is there to think about what the programs ask; what they can do alone they do.
test_a_daemon_that_is_killed_while_it_mirrors()
{
	local round
	for ((round = 0; round < rounds; round++)); do
		lab_headgate shadow web4 off
		run without-dead
		lab_headgate shadow web4 on
		run with-dead &
		sleep 0.1
		lab_stop headgated KILL
		wait $!
		run with-dead
		shadow_splitter
	done
	is_within_noise dead
	is_well_again dead
}

test_no_client_heard_of_a_shadow()
{
	lab_assert 'd["failed"] == 0' "$(shadow_clients web4 last --connections 10)"
	lab_assert 'd["leaked"] == 0 and d["signed"] > 1000' "$(watch_end client)"
	lab_assert 'd["shadow"]["wrong"] == 0' "$(shadow_compare last)"
}

lab_begin
shadow_hosts nat
shadow_serve --factor 1
shadow_configuration nat "sample: 100" "engine: $engine" "linger: 2s" "pause: off" >"$LAB/headgate.yaml"
shadow_splitter
watch_begin client
lab_run_tests "trouble $engine"
