#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the host does to a rollout: clocks that jump, a disk that is full.
set -eu
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/lab.sh"
# shellcheck source=tests/lab/rollout.sh
. "$(dirname "$0")/rollout.sh"

ROLLOUT_PORTS="8000 8001"
ROLLOUT_PORT=([timed]=8000 [approved]=8001)

service() # NAME STEPS
{
	rollout_service "$1" "${ROLLOUT_PORT[$1]}" nat <<-END
		rollout: {strategy: canary, stable: blue, candidate: canary, steps: $2, progress_deadline: 2h}
	END
}

configuration()
{
	lab_interfaces front back
	printf 'services:\n'
	service timed '[{weight: 10}, {pause: 1h}, {weight: 100}]'
	service approved '[{weight: 10}, {pause: approval}, {weight: 100}]'
}

# --- clocks -----------------------------------------------------------------------------------------------------------

# A CLOCK_REALTIME that is so many seconds off as $LAB/offset says.
realtime_that_jumps()
{
	cc -shared -fPIC -O2 -x c -o "$LAB/realtime.so" - <<-END
		#include <fcntl.h>
		#include <stddef.h>
		#include <stdlib.h>
		#include <sys/syscall.h>
		#include <sys/time.h>
		#include <time.h>
		#include <unistd.h>

		static long offset(void)
		{
			char text[32] = "";
			int fd = open("$LAB/offset", O_RDONLY | O_CLOEXEC);

			if (fd < 0)
				return 0;
			if (read(fd, text, sizeof(text) - 1) < 0)
				text[0] = 0;
			close(fd);
			return atol(text);
		}

		int clock_gettime(clockid_t clock, struct timespec *ret)
		{
			int failed = syscall(SYS_clock_gettime, clock, ret);

			if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
				ret->tv_sec += offset();
			return failed;
		}

		int gettimeofday(struct timeval *restrict ret, void *restrict zone)
		{
			struct timespec now;

			(void)zone;
			clock_gettime(CLOCK_REALTIME, &now);
			ret->tv_sec = now.tv_sec;
			ret->tv_usec = now.tv_nsec / 1000;
			return 0;
		}

		time_t time(time_t *ret)
		{
			struct timespec now;

			clock_gettime(CLOCK_REALTIME, &now);
			if (ret)
				*ret = now.tv_sec;
			return now.tv_sec;
		}
	END
}

step_ran()
{
	lab_json 'd["rollout"]["step_ran_s"]' "$(rollout_report timed)"
}

# It waits in its step, whose clock goes on from where it was: what jumped does not count, but for 5 s at most.
pauses_on() # RAN-BEFORE
{
	rollout_is timed 'r["state"] == "Progressing" and r["step"] == 1'
	rollout_wait timed "r['step_ran_s'] > $1"
	rollout_is timed "$1 < r['step_ran_s'] < $1 + 60"
	rollout_weights_are timed "blue 90, canary 10"
}

test_a_clock_that_is_set_moves_nothing()
{
	local offset ran
	echo 0 >"$LAB/offset"
	LAB_UNDER="env LD_PRELOAD=$LAB/realtime.so ASAN_OPTIONS=verify_asan_link_order=0" rollout_splitter
	rollout_done timed start
	rollout_wait timed 'r["step"] == 1'
	for offset in 40000000 -40000000 0; do
		ran=$(step_ran)
		echo $offset >"$LAB/offset"
		sleep 0.3
		pauses_on "$ran"
	done
}

test_a_monotonic_clock_that_jumps_over_a_restart_moves_nothing()
{
	local ran
	ran=$(step_ran)
	lab_stop headgated KILL
	LAB_UNDER="unshare --time --monotonic 36000" rollout_splitter
	pauses_on "$ran"
	ran=$(step_ran)
	lab_stop headgated KILL
	rollout_splitter # ten hours before
	pauses_on "$ran"
}

# --- the journal's disk -----------------------------------------------------------------------------------------------

fill_disk()
{
	dd if=/dev/zero bs=4k of="$disk/fill" 2>"$LAB/dd" || true
}

# What cannot be written is not done: neither by the machine nor for a person.
test_nothing_is_done_that_cannot_be_journalled()
{
	local disk
	lab_stop headgated
	mkdir -p "$LAB/disk"
	cat >"$LAB/on-disk" <<-END
		#!/bin/sh
		mount -t tmpfs -o size=3m disk $LAB/disk && exec "\$@" --journal $LAB/disk/rollouts.db
	END
	chmod 755 "$LAB/on-disk"
	LAB_UNDER="unshare --mount $LAB/on-disk" lab_splitter "$LAB/headgate.yaml"
	lab_wait "every next hop" rollout_hops_known
	disk=/proc/$(lab_pid headgated)/root$LAB/disk
	rollout_done approved start
	rollout_wait_state approved WaitingApproval
	rollout_weights_are approved "blue 90, canary 10"
	fill_disk
	rollout_do approved approve >"$LAB/answer"
	sleep 0.5
	rollout_weights_are approved "blue 90, canary 10"
	lab_wait "a warning" warned_of_journal
	rm "$disk/fill"
	rollout_is approved 'r["state"] != "WaitingApproval"' 2>"$LAB/no" || rollout_do approved approve >"$LAB/answer"
	rollout_wait_state approved Succeeded
	rollout_weights_are approved "blue 0, canary 100"
}

# A candidate does not keep its traffic for it.
test_a_rollback_does_not_wait_for_a_full_disk()
{
	local disk
	disk=/proc/$(lab_pid headgated)/root$LAB/disk
	rollout_done approved undo
	rollout_done approved start
	rollout_wait_state approved WaitingApproval
	rollout_weights_are approved "blue 90, canary 10"
	fill_disk
	lab_wait "a warning" warned_of_journal
	rollout_done approved rollback
	rollout_weights_are approved "blue 100, canary 0"
	rollout_is approved 'r["state"] == "RollingBack"'
	rm "$disk/fill"
	rollout_wait_state approved Failed
	[[ $(rollout_path approved) == *"WaitingApproval 1, RollingBack 1, Failed 1" ]] || lab_fail "$(rollout_path approved)"
}

# Services do not wait for the journal, and a rollout that goes on is taken up when it can be opened.
test_a_daemon_starts_with_a_full_disk_and_takes_up_its_rollout_later()
{
	local disk
	disk=/proc/$(lab_pid headgated)/root$LAB/disk
	rollout_done approved start
	rollout_wait_state approved WaitingApproval
	mkdir "$LAB/kept"
	lab_signal STOP headgated
	cp "$disk"/rollouts.db* "$LAB/kept"
	lab_stop headgated KILL
	cat >"$LAB/on-full-disk" <<-END
		#!/bin/sh
		mount -t tmpfs -o size=3m disk $LAB/disk && cp $LAB/kept/* $LAB/disk
		dd if=/dev/zero bs=4k of=$LAB/disk/fill
		exec "\$@" --journal $LAB/disk/rollouts.db
	END
	chmod 755 "$LAB/on-full-disk"
	LAB_UNDER="unshare --mount $LAB/on-full-disk" lab_splitter "$LAB/headgate.yaml"
	disk=/proc/$(lab_pid headgated)/root$LAB/disk
	warned_of_journal
	rollout_weights_are approved "blue 90, canary 10"
	lab_assert '"No space left" in d["error"]' "$(rollout_do approved approve)"
	lab_assert '"No space left" in d["error"]' "$(rollout_do timed start)"
	rm "$disk/fill"
	rollout_wait_state approved WaitingApproval
	rollout_done approved abort
	rollout_wait_state approved Aborted
	rollout_weights_are approved "blue 100, canary 0"
}

# Nobody judges what was going on any more.
test_a_damaged_journal_is_warned_of()
{
	lab_stop headgated
	head -c 8192 /dev/urandom >"$LAB/rollouts.db"
	rollout_splitter
	lab_assert 'any("forgotten" in warning for warning in d["warnings"])' "$(lab_api GET /v1/status)"
	[ -s "$LAB/rollouts.db.damaged" ]
	lab_headgate doctor >"$LAB/doctor" 2>&1 || true
	grep -q forgotten "$LAB/doctor"
}

# There is a way out by command, and the operator hears of it.
test_a_rollout_that_makes_no_sense_is_ended_where_it_is()
{
	local id
	rollout_done approved start
	rollout_wait_state approved WaitingApproval
	id=$(lab_json 'd["rollout"]["id"]' "$(rollout_report approved)")
	lab_stop headgated KILL
	sqlite3 "$LAB/rollouts.db" "UPDATE rollouts SET rollout = json_set(rollout, '\$.step', 7) WHERE id = $id"
	rollout_splitter
	lab_assert 'sum("approved" in w and "could not be read" in w for w in d["warnings"]) == 1' "$(lab_api GET /v1/status)"
	lab_assert 'd["rollouts"][0]["state"] == "Aborted" and "cannot be read" in d["rollouts"][0]["cause"]' \
		"$(rollout_history approved)"
	rollout_weights_are approved "blue 90, canary 10"
	rollout_done approved start
	rollout_wait_state approved WaitingApproval
	rollout_done approved abort
	rollout_wait_state approved Aborted
	rollout_weights_are approved "blue 90, canary 10" # which is what was before it
}

test_a_journal_that_is_taken_away_while_it_is_written_is_warned_of()
{
	lab_stop headgated
	rollout_splitter
	! warned_of_journal 2>"$LAB/no" || lab_fail "warned before"
	mv "$LAB/rollouts.db" "$LAB/away.db"
	warned_of_journal
	lab_headgate doctor >"$LAB/doctor" 2>&1 || true
	grep -q 'was deleted or moved' "$LAB/doctor"
	mv "$LAB/away.db" "$LAB/rollouts.db"
	! warned_of_journal 2>"$LAB/no" || lab_fail "still warned"
}

# Who goes back to an older headgate has services, and is told what to do for rollouts.
test_a_newer_daemons_journal_is_left_alone_and_warned_of()
{
	lab_stop headgated
	sqlite3 "$LAB/rollouts.db" 'PRAGMA user_version = 99'
	sha256sum "$LAB/rollouts.db" >"$LAB/rollouts.sum"
	rollout_splitter
	lab_assert 'any("newer headgated" in warning and "move the file away" in warning for warning in d["warnings"])' \
		"$(lab_api GET /v1/status)"
	lab_headgate doctor >"$LAB/doctor" 2>&1 || true
	grep -q 'move the file away' "$LAB/doctor"
	lab_assert '"newer headgated" in d["error"]' "$(rollout_do timed start)"
	sha256sum --quiet -c "$LAB/rollouts.sum"
	mkdir "$LAB/newer"
	mv "$LAB"/rollouts.db* "$LAB/newer"
	lab_wait "a journal" rollout_done timed start
	rollout_done timed abort
}

warned_of_journal()
{
	lab_assert 'any("journal" in warning or "rollouts.db" in warning for warning in d["warnings"])' "$(lab_api GET /v1/status)"
}

lab_begin
configuration >"$LAB/headgate.yaml"
rollout_hosts nat
realtime_that_jumps
lab_run_tests "rollout host"
