// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is in the journal after a kill -9, at any moment and at every single write; and what it says when it cannot
 * write. SQLite's calls of the system are taken over (sqlite3_vfs.xSetSystemCall), so that the n-th write, or half of
 * it, is the last thing that a process does.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "journal_fixture.h"

static struct {
	int writes;         /* so far */
	int fatal;          /* this one is the last; 0: none */
	bool half;          /* of the last one gets to the file */
	int refused;        /* from this one on there is no space left; 0: none */
	bool from_sync;     /* they are counted from the next wait for the disk on */
	unsigned int syncs; /* waits for the disk */
} disk;

/* Does not return from the last one. */
static void count_write(int fd, const void *data, size_t bytes, off_t where)
{
	if (disk.from_sync || ++disk.writes != disk.fatal)
		return;
	if (disk.half && pwrite(fd, data, bytes / 2, where) < 0)
		_exit(1);
	kill(getpid(), SIGKILL);
}

static ssize_t write_or_die(int fd, const void *data, size_t bytes, off_t where)
{
	count_write(fd, data, bytes, where);
	if (disk.refused && disk.writes >= disk.refused) {
		errno = ENOSPC;
		return -1;
	}
	return pwrite(fd, data, bytes, where);
}

static int truncate_or_die(int fd, off_t size)
{
	count_write(fd, NULL, 0, 0);
	return ftruncate(fd, size);
}

/* SQLite's calls of these come here, as the program's symbols go before libc's. */
int fdatasync(int fd)
{
	disk.syncs++;
	disk.from_sync = false;
	return fd < 0 ? -1 : 0;
}

int fsync(int fd)
{
	return fdatasync(fd);
}

static int take_over_writes(void **state)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	(void)state;
	return vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)write_or_die) != SQLITE_OK ||
	       vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)write_or_die) != SQLITE_OK ||
	       vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)truncate_or_die) != SQLITE_OK;
}

static int setup(void **state)
{
	memset(&disk, 0, sizeof(disk));
	return journal_setup(state);
}

/* Opens what a killed process left, and expects at least @reported transitions, without gaps, and the record of the
 * newest. Return: how many there are. */
static uint32_t assert_whole(struct fixture *f, uint32_t reported)
{
	uint32_t transitions;
	char text[160];

	reopen(f);
	assert_sql(f, "PRAGMA integrity_check", "ok");
	assert_int_not_equal(access(f->damaged, F_OK), 0);
	assert_int_equal(journal_newest(f->journal, "web", f->record), 0);
	transitions = f->record->rollout.transitions;
	if (transitions < reported)
		fail_msg("%u were reported, %u are there", reported, transitions);
	snprintf(text, sizeof(text), "transition %u", transitions);
	assert_string_equal(f->record->rollout.cause, transitions ? text : "begun");
	assert_int_equal(sql_number(f, "SELECT count(*) FROM transitions"), transitions);
	assert_int_equal(sql_number(f, "SELECT coalesce(max(number), 0) FROM transitions"), transitions);
	assert_int_equal(sql_number(f, "SELECT coalesce(min(number), 1) FROM transitions"), 1);
	snprintf(text, sizeof(text), "SELECT count(*) FROM transitions WHERE cause = 'transition ' || number");
	assert_int_equal(sql_number(f, text), transitions);
	assert_sql(f, "SELECT count(*) FROM rollouts WHERE state = json_extract(rollout, '$.state')", "1");
	return transitions;
}

static void begin(struct fixture *f)
{
	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
}

static int analyse(struct fixture *f)
{
	static const struct sample samples[PLAN_METRICS_MAX] = {};
	static const struct metric_result results[PLAN_METRICS_MAX] = {};

	return journal_analysis(f->journal, f->record, samples, samples, results, JUDGED_PASS);
}

/* Goes on with the rollout for ever, and reports each transition when the call has returned. */
static void work(struct fixture *f, int report)
{
	struct refusal why;

	if (journal_open(f->path, &f->journal, &why) || journal_newest(f->journal, "web", f->record))
		_exit(1);
	for (;;) {
		if (next_transition(f->journal, f->record, ROLLOUT_PROGRESSING))
			_exit(2);
		if (write(report, &f->record->rollout.transitions, sizeof(uint32_t)) != sizeof(uint32_t))
			_exit(3);
		if (f->record->rollout.transitions % 3 == 0 && analyse(f))
			_exit(4);
		if (f->record->rollout.transitions % 4 == 0 && journal_keep(f->journal, f->record))
			_exit(5);
	}
}

static uint32_t last_reported(int report, uint32_t last)
{
	uint32_t number;

	while (read(report, &number, sizeof(number)) == sizeof(number))
		last = number;
	return last;
}

static void a_kill_at_any_moment_loses_nothing_that_was_reported(void **state)
{
	struct fixture *f = *state;
	uint32_t before = 0, most = 0;

	begin(f);
	for (unsigned int i = 0; i < 200; i++) {
		uint32_t first, last;
		int report[2], status;
		pid_t child;

		journal_close(TAKE_PTR(f->journal));
		assert_int_equal(pipe(report), 0);
		child = fork();
		if (!child)
			work(f, report[1]);
		close(report[1]);
		assert_int_equal(read(report[0], &first, sizeof(first)), sizeof(first));
		assert_int_equal(first, before + 1);
		usleep(random_below(&f->seed, 3000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		last = last_reported(report[0], first);
		close(report[0]);
		before = assert_whole(f, last);
		most = last - first > most ? last - first : most;
	}
	printf("# killed 200 times in %u transitions\n", before);
	assert_true(most > 1);
}

/* What is killed at each of its writes. @f->record is as the journal has it. */
static int one_transition(struct fixture *f)
{
	return next_transition(f->journal, f->record, ROLLOUT_PROGRESSING);
}

static int one_transition_and_close(struct fixture *f)
{
	int err = one_transition(f);

	journal_close(f->journal);
	return err;
}

static int one_analysis(struct fixture *f)
{
	return analyse(f);
}

/* Until what is in the file beside goes into the journal: counted are the writes of that, and of the record behind it,
 * which begins the file beside anew. */
static int keeping(struct fixture *f)
{
	disk.from_sync = true;
	for (unsigned int i = 0; i < 2000; i++) {
		int err = journal_keep(f->journal, f->record);

		if (err || !disk.from_sync)
			return err;
	}
	return -ETIME;
}

static int opening(struct fixture *f)
{
	return journal_open(f->path, &f->journal, NULL);
}

/* Runs @what in a process that the @fatal-th write kills. Return: whether it lived on. */
static bool survives(struct fixture *f, int (*what)(struct fixture *), int fatal, bool half)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct refusal why;

		if (what != opening &&
		    (journal_open(f->path, &f->journal, &why) || journal_newest(f->journal, "web", f->record)))
			_exit(1);
		disk.writes = 0;
		disk.fatal = fatal;
		disk.half = half;
		_exit(what(f) ? 2 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFEXITED(status);
}

static void assert_survives_kills(struct fixture *f, int (*what)(struct fixture *), uint32_t transitions)
{
	uint32_t before = 0;
	int fatal;

	begin(f);
	for (unsigned int half = 0; half < 2; half++) {
		bool lived = false;

		for (fatal = 1; !lived; fatal++) {
			uint32_t now;

			journal_close(TAKE_PTR(f->journal));
			lived = survives(f, what, fatal, half);
			now = assert_whole(f, before);
			assert_in_range(now, lived ? before + transitions : before, before + transitions);
			before = now;
		}
		assert_true(fatal > 3); /* there was something to kill */
	}
}

static void a_transition_is_whole_or_not_at_all(void **state)
{
	assert_survives_kills(*state, one_transition, 1);
}

static void a_kill_while_it_is_closed_loses_nothing(void **state)
{
	assert_survives_kills(*state, one_transition_and_close, 1);
}

static void an_analysis_is_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;

	assert_survives_kills(f, one_analysis, 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM analyses"), 2);
}

static void a_kill_while_it_is_tidied_up_loses_nothing(void **state)
{
	assert_survives_kills(*state, keeping, 0);
}

static void a_kill_while_it_is_made_leaves_what_can_be_opened(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	struct fixture *f = *state;

	for (unsigned int half = 0; half < 2; half++) {
		bool lived = false;

		for (int fatal = 1; !lived; fatal++) {
			lived = survives(f, opening, fatal, half);
			begin(f);
			assert_whole(f, 0);
			journal_close(TAKE_PTR(f->journal));
			for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
				char path[128];

				snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
				unlink(path);
			}
		}
	}
}

static void a_full_disk_is_said_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	int refused, err = -ENOSPC;

	begin(f);
	for (refused = 1; err; refused++) {
		uint32_t transitions = f->record->rollout.transitions;

		disk.writes = 0;
		disk.refused = refused;
		err = next_transition(f->journal, f->record, ROLLOUT_PAUSED);
		disk.refused = 0;
		if (!err)
			break;
		assert_int_equal(err, -ENOSPC);
		assert_whole(f, transitions);
		assert_int_equal(f->record->rollout.transitions, transitions);
		/* It is written when there is space again. */
		assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
		assert_whole(f, transitions + 1);
	}
	assert_true(refused > 3);
	disk.writes = 0;
	disk.refused = 1;
	assert_int_equal(journal_keep(f->journal, f->record), -ENOSPC);
	assert_int_equal(analyse(f), -ENOSPC);
	assert_int_equal(journal_audit(f->journal, "web", &by_person, "pause", NULL), -ENOSPC);
	assert_int_equal(journal_set_baseline(f->journal, 1, "x", 1), -ENOSPC);
	assert_int_equal(journal_set_roles(f->journal, "web", &f->record->plan, "a", "b"), -ENOSPC);
	small_record(f->again, "mail");
	assert_int_equal(journal_begin(f->journal, f->again, &by_person), -ENOSPC);
	assert_int_equal(journal_newest(f->journal, "web", f->again), 0);
	disk.refused = 0;
	assert_int_equal(journal_keep(f->journal, f->record), 0);
}

static void a_full_disk_is_no_damage(void **state)
{
	struct fixture *f = *state;
	struct refusal why;
	int err = -ENOSPC;

	for (int refused = 1; err; refused++) {
		disk.writes = 0;
		disk.refused = refused;
		err = journal_open(f->path, &f->journal, &why);
		disk.refused = 0;
		if (err && err != -ENOSPC)
			fail_msg("%d: %s", err, why.text);
		assert_int_not_equal(access(f->damaged, F_OK), 0);
	}
	begin(f);
}

static void a_lock_of_others_is_said_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	begin(f);
	db = beside(f);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), -EBUSY);
	assert_int_equal(journal_keep(f->journal, f->record), -EBUSY);
	assert_int_equal(journal_set_baseline(f->journal, 1, "x", 1), -EBUSY);
	assert_int_equal(journal_newest(f->journal, "web", f->again), 0);
	assert_int_equal(f->again->rollout.transitions, 0);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(journal_keep(f->journal, f->record), 0);
	f->record->rollout.transitions = 0;
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
	assert_whole(f, 1);
}

static int64_t size_beside(const struct fixture *f)
{
	struct stat file;
	char path[128];

	snprintf(path, sizeof(path), "%s-wal", f->path);
	assert_int_equal(stat(path, &file), 0);
	return file.st_size;
}

/* A rollback waits for it. What has to wait for the disk is done by what nobody waits for. */
static void a_transition_does_not_wait_for_the_disk(void **state)
{
	struct fixture *f = *state;
	struct timespec begin_time, end;
	unsigned int keeps = 0;

	begin(f);
	reopen(f);
	disk.syncs = 0;
	clock_gettime(CLOCK_MONOTONIC, &begin_time);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(disk.syncs, 0);
	printf("# a transition takes %ld us\n",
	       ((end.tv_sec - begin_time.tv_sec) * 1000000 + (end.tv_nsec - begin_time.tv_nsec) / 1000) / 200);

	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int syncs;

		assert_int_equal(analyse(f), 0);
		assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
		syncs = disk.syncs;
		assert_int_equal(journal_keep(f->journal, f->record), 0);
		keeps += disk.syncs - syncs;
		assert_int_equal(disk.syncs, keeps);
	}
	assert_true(keeps > 0);
	assert_true(size_beside(f) < 8 << 20);
}

/* Also if nobody ever calls journal_keep(). */
static void the_file_beside_does_not_grow_for_ever(void **state)
{
	struct fixture *f = *state;

	begin(f);
	disk.syncs = 0;
	for (unsigned int i = 0; i < 6000; i++)
		assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PROGRESSING), 0);
	assert_true(disk.syncs > 0);
	assert_true(size_beside(f) < 40 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kill_at_any_moment_loses_nothing_that_was_reported, setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_transition_is_whole_or_not_at_all, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_kill_while_it_is_closed_loses_nothing, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(an_analysis_is_whole_or_not_at_all, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_kill_while_it_is_tidied_up_loses_nothing, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_kill_while_it_is_made_leaves_what_can_be_opened, setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_is_said_and_changes_nothing, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_is_no_damage, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_lock_of_others_is_said_and_changes_nothing, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_transition_does_not_wait_for_the_disk, setup, journal_teardown),
		cmocka_unit_test_setup_teardown(the_file_beside_does_not_grow_for_ever, setup, journal_teardown),
	};

	return cmocka_run_group_tests(tests, take_over_writes, NULL);
}
