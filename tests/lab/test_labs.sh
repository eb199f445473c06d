#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The lab itself: several at once on a machine, and nothing left of one, however it ends.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"

# A lab of its own in a shell of its own, which says its folder when it stands.
another_lab() # COMMANDS
{
	exec bash -c 'set -eu; . "$1/lab.sh"; lab_begin; lab_host client front 10.10.0.2 fd00:10::2
		lab_host blue1 back 10.20.0.11 fd00:20::11; lab_nginx blue1 blue; eval "$2"' lab "$LAB_SOURCE" "$1"
}

# shellcheck disable=SC2016 # the other shell expands it
serving='cat >"$LAB/headgate.yaml" <<-END
	interfaces: [front, back]
	services:
	  web: {address: 10.0.0.10, port: 80, protocol: tcp, forward: nat,
	        variants: {blue: {weight: 1, backends: ["10.20.0.11:8000"]}}}
	END
	lab_splitter "$LAB/headgate.yaml"; lab_hops_known
	lab_traffic client requests --url-host 10.0.0.10 --port 80 --count 500'

test_two_labs_at_once_do_not_disturb_each_other()
{
	local first second
	(another_lab "$serving") >"$LAB/first" &
	first=$!
	(another_lab "$serving") >"$LAB/second" &
	second=$!
	wait $first
	wait $second
	lab_assert 'd["failed"] == 0 and d["requests"] == 500' "$(cat "$LAB/first")"
	lab_assert 'd["failed"] == 0 and d["requests"] == 500' "$(cat "$LAB/second")"
}

begin_another()
{
	# shellcheck disable=SC2016
	(another_lab 'lab_start client wait sleep 60; echo $LAB; sleep 60 & wait $!') >"$LAB/another" &
	another=$!
	disown $another
	lab_wait "the other lab" grep -q . "$LAB/another"
	folder=$(cat "$LAB/another")
	name=${folder##*/}
	processes=$(cut -d' ' -f1,2 "$folder/processes")
	ip netns list | grep -q "$name" || lab_fail "the other lab has no namespaces?"
}

nothing_is_left()
{
	local pid start
	while read -r pid start; do
		! lab_is_alive "$pid" "$start" || lab_fail "process $pid is left" "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done <<<"$processes"
	! ip netns list | grep "$name" || lab_fail "namespaces are left"
	! grep "$folder" /proc/mounts || lab_fail "a mount is left"
	[ ! -e "$folder" ] || lab_fail "the folder is left"
}

test_a_lab_that_is_told_to_end_leaves_nothing()
{
	begin_another
	kill -TERM $another
	lab_wait "the other lab to end" test ! -e "$folder"
	nothing_is_left
}

test_a_lab_that_was_killed_is_swept_by_the_next()
{
	begin_another
	kill -KILL $another
	! nothing_is_left 2>/dev/null || lab_fail "the test kills nothing"
	(another_lab true)
	nothing_is_left
}

test_a_lab_that_lives_is_not_swept()
{
	begin_another
	(another_lab true)
	kill -0 $another
	[ -d "$folder" ] || lab_fail "the folder of a living lab was swept"
	ip netns list | grep -q "$name" || lab_fail "the namespaces of a living lab were swept"
	kill -TERM $another
	lab_wait "the other lab to end" test ! -e "$folder"
}

lab_begin
lab_run_tests labs
