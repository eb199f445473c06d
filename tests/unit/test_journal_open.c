// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What journal_open() makes of what it finds. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal_fixture.h"

static void a_new_journal_is_nobody_elses_to_read(void **state)
{
	static const char *const suffixes[] = {"", "-wal"};
	struct fixture *f = *state;
	mode_t mask = umask(0);

	reopen(f);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		struct stat file;
		char path[128];

		snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
		assert_int_equal(stat(path, &file), 0);
		assert_int_equal(file.st_mode & 0777, 0600);
	}
	umask(mask);
}

static void readers_are_let_in_while_it_is_written(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_sql(f, "PRAGMA journal_mode", "wal");
	db = beside(f);
	assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM rollouts", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
	assert_int_equal(journal_keep(f->journal, f->record), 0);
	sqlite3_close(db);
}

static void two_may_have_it_open(void **state)
{
	struct fixture *f = *state;
	struct journal *other = NULL;

	reopen(f);
	assert_int_equal(journal_open(f->path, &other, NULL), 0);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	assert_int_equal(journal_begin(other, f->record, &by_person), -EBUSY);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(next_transition(i & 1 ? other : f->journal, f->record, ROLLOUT_PROGRESSING), 0);
	assert_int_equal(journal_newest(f->journal, "web", f->again), 0);
	assert_int_equal(f->again->rollout.transitions, 20);
	journal_close(other);
	assert_int_equal(next_transition(f->journal, f->record, ROLLOUT_PAUSED), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM transitions"), 21);
}

/* One of them may be told that it is locked. */
static void two_may_make_it_at_once(void **state)
{
	struct fixture *f = *state;

	for (unsigned int round = 0; round < 20; round++) {
		int gate[2], status, opened = 0;
		pid_t children[2];

		unlink(f->path);
		assert_int_equal(pipe(gate), 0);
		for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
			children[i] = fork();
			if (!children[i]) {
				struct journal *j = NULL;
				char byte;

				close(gate[1]);
				_exit(read(gate[0], &byte, 1) ? 255 : -journal_open(f->path, &j, NULL));
			}
		}
		close(gate[0]);
		close(gate[1]);
		for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
			assert_int_equal(waitpid(children[i], &status, 0), children[i]);
			assert_true(WIFEXITED(status));
			if (WEXITSTATUS(status) && WEXITSTATUS(status) != EBUSY)
				fail_msg("%s", strerror(WEXITSTATUS(status)));
			opened += !WEXITSTATUS(status);
		}
		assert_true(opened);
		reopen(f);
		assert_int_not_equal(access(f->damaged, F_OK), 0);
		journal_close(TAKE_PTR(f->journal));
	}
}

static void an_empty_file_is_brought_up_to_date(void **state)
{
	struct fixture *f = *state;

	close(open(f->path, O_CREAT | O_WRONLY, 0600));
	reopen(f);
	assert_int_equal(sql_number(f, "PRAGMA user_version"), JOURNAL_VERSION);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	reopen(f);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts"), 1);
	assert_int_not_equal(access(f->damaged, F_OK), 0);
}

static void assert_open_refused(struct fixture *f, int err, const char *why_has)
{
	struct journal *none = NULL;
	struct refusal why = {};
	int is = journal_open(f->path, &none, &why);

	if (is != err || !strstr(why.text, why_has) || none)
		fail_msg("%d: %s", is, why.text);
	assert_int_not_equal(access(f->damaged, F_OK), 0);
}

static void a_file_of_a_newer_daemon_is_left_alone(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	journal_close(TAKE_PTR(f->journal));
	sql(f, "PRAGMA user_version = 2");
	assert_open_refused(f, -ENOTSUP, "was written by a newer headgated (version 2, this one knows 1)");
	assert_int_equal(sql_number(f, "PRAGMA user_version"), 2);
}

static void a_file_that_is_taken_away_is_missed(void **state)
{
	struct fixture *f = *state;
	char away[160];

	reopen(f);
	snprintf(away, sizeof(away), "%s.away", f->path);
	assert_false(journal_has_moved(f->journal));
	assert_int_equal(rename(f->path, away), 0);
	assert_true(journal_has_moved(f->journal));
	close(open(f->path, O_CREAT | O_WRONLY, 0600)); /* another is not it */
	assert_true(journal_has_moved(f->journal));
	assert_int_equal(rename(away, f->path), 0);
	assert_false(journal_has_moved(f->journal));
	unlink(f->path);
	assert_true(journal_has_moved(f->journal));
}

static void another_programs_file_is_left_alone(void **state)
{
	struct fixture *f = *state;

	close(open(f->path, O_CREAT | O_WRONLY, 0600));
	sql(f, "CREATE TABLE songs (name TEXT)");
	assert_open_refused(f, -EINVAL, "is another program's SQLite file");
	sql(f, "DROP TABLE songs; PRAGMA application_id = 17");
	assert_open_refused(f, -EINVAL, "is another program's SQLite file");
	assert_int_equal(sql_number(f, "SELECT count(*) FROM sqlite_schema"), 0);
}

static void what_cannot_be_made_is_said(void **state)
{
	struct fixture *f = *state;
	char name[96];

	strcpy(name, f->path);
	snprintf(f->path, sizeof(f->path), "%s/none/rollouts.db", f->folder);
	assert_open_refused(f, -ENOENT, "none/rollouts.db cannot be opened: No such file or directory");
	strcpy(f->path, f->folder);
	assert_open_refused(f, -EISDIR, "cannot be opened: Is a directory");
	strcpy(f->path, name);
}

/* What a user without rights gets to see: 0 or the errno of @in_child's -errno. */
static int as_nobody(struct fixture *f, int (*in_child)(struct fixture *f))
{
	int status;
	pid_t child = fork();

	if (!child) {
		if (!getuid() && (setgid(65534) || setuid(65534)))
			_exit(255);
		_exit(-in_child(f));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static int try_to_open(struct fixture *f)
{
	struct journal *j;

	return journal_open(f->path, &j, NULL);
}

static void a_place_that_cannot_be_written_is_refused(void **state)
{
	struct fixture *f = *state;

	chmod(f->folder, 0555);
	assert_int_equal(as_nobody(f, try_to_open), -EACCES);
	chmod(f->folder, 0755);
	reopen(f);
	journal_close(TAKE_PTR(f->journal));
	chmod(f->path, 0644);
	chmod(f->folder, 0555);
	assert_int_not_equal(as_nobody(f, try_to_open), 0);
	chmod(f->path, 0444);
	assert_int_not_equal(as_nobody(f, try_to_open), 0);
	chmod(f->folder, 0755);
	assert_int_not_equal(as_nobody(f, try_to_open), 0);
	assert_int_not_equal(access(f->damaged, F_OK), 0);
}

static void write_at(const char *path, long where, const char *text)
{
	FILE *file = fopen(path, where ? "r+" : "w");

	assert_non_null(file);
	assert_int_equal(fseek(file, where, SEEK_SET), 0);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

static void assert_set_aside(struct fixture *f)
{
	struct refusal why = {};

	if (journal_open(f->path, &f->journal, &why))
		fail_msg("%s", why.text);
	if (!strstr(why.text, "was damaged") || !strstr(why.text, ".damaged now"))
		fail_msg("%s", why.text);
	assert_int_equal(access(f->damaged, F_OK), 0);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts"), 0);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
}

static void a_file_that_is_no_journal_is_set_aside(void **state)
{
	struct fixture *f = *state;
	char text[64] = "", path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s-wal", f->path);
	write_at(path, 0, "nor was this what is not yet in one");
	write_at(f->path, 0, "this was never an SQLite file, but is long enough to be looked at as if it were one\n");
	assert_set_aside(f);
	file = fopen(f->damaged, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_memory_equal(text, "this was never", 14);
	snprintf(path, sizeof(path), "%s-wal", f->damaged);
	assert_int_equal(access(path, F_OK), 0);
}

static void a_damaged_page_is_found_and_the_file_set_aside(void **state)
{
	struct fixture *f = *state;
	int64_t pages;

	reopen(f);
	for (unsigned int i = 0; i < 20; i++) {
		char service[NAME_SIZE];

		snprintf(service, sizeof(service), "s%u", i);
		small_record(f->record, service);
		assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	}
	journal_close(TAKE_PTR(f->journal));
	pages = sql_number(f, "PRAGMA page_count");
	assert_true(pages > 10);
	write_at(f->path, (sql_number(f, "SELECT rootpage FROM sqlite_schema WHERE name = 'rollouts'") - 1) * 4096 + 1,
		 "nothing that a page begins with");
	assert_set_aside(f);
}

static void a_file_that_was_cut_short_is_set_aside(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	journal_close(TAKE_PTR(f->journal));
	assert_int_equal(truncate(f->path, 3 * 4096), 0);
	assert_set_aside(f);
}

static void a_file_without_its_tables_is_set_aside(void **state)
{
	struct fixture *f = *state;

	reopen(f);
	journal_close(TAKE_PTR(f->journal));
	sql(f, "DROP TABLE transitions");
	assert_set_aside(f);
}

/* What lies beside a damaged file belongs to that one, and must not get into the new one. */
static void what_was_not_yet_in_a_damaged_file_is_not_in_the_new_one(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	reopen(f);
	small_record(f->record, "web");
	assert_int_equal(journal_begin(f->journal, f->record, &by_person), 0);
	journal_close(TAKE_PTR(f->journal));
	child = fork();
	if (!child) {
		reopen(f);
		_exit(journal_keep(f->journal, f->record)); /* not closed: what it wrote is beside */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	write_at(f->path, 0, "this was never an SQLite file, but is long enough to be looked at as if it were one\n");
	assert_set_aside(f);
	assert_int_equal(sql_number(f, "SELECT count(*) FROM rollouts"), 1);
	reopen(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_journal_is_nobody_elses_to_read, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(readers_are_let_in_while_it_is_written, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(two_may_have_it_open, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(two_may_make_it_at_once, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(an_empty_file_is_brought_up_to_date, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_file_of_a_newer_daemon_is_left_alone, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_taken_away_is_missed, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(another_programs_file_is_left_alone, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_made_is_said, journal_setup, journal_teardown),
		cmocka_unit_test_setup_teardown(a_place_that_cannot_be_written_is_refused, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_journal_is_set_aside, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_page_is_found_and_the_file_set_aside, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_was_cut_short_is_set_aside, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(a_file_without_its_tables_is_set_aside, journal_setup,
						journal_teardown),
		cmocka_unit_test_setup_teardown(what_was_not_yet_in_a_damaged_file_is_not_in_the_new_one, journal_setup,
						journal_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
