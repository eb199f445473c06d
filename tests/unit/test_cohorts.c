// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Cohorts as feature flags: whose they are, what for, and when they go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cohort_fixture.h"
#include "config_fixture.h"
#include "model_diff.h"
#include "state_fixture.h"
#include "text.h"

#define SERVICE                                                                                                        \
	"interfaces: [eth0]\nservices:\n  llm:\n    address: 10.0.0.10\n    port: 80\n    forward: nat\n"              \
	"    variants:\n"                                                                                              \
	"      blue: {weight: 1, backends: [10.0.1.11:80]}\n"                                                          \
	"      green: {weight: 0, backends: [10.0.2.11:80]}\n"
#define COHORT(keys) SERVICE "    cohorts: [{source: 10.9.0.0/16, variant: green" keys "}]\n"
#define LATE ", expires: 2026-12-01T10:00:00Z"

/* 2026-12-01T10:00:00Z, by `date -d`. */
#define EXPIRY_S 1796119200

static struct service_model *configure(struct fixture *f, const char *yaml)
{
	model_free(f->configured);
	model_free(f->running);
	f->configured = parse(yaml);
	assert_int_equal(model_copy(f->configured, &f->running), 0);
	return &f->running->services[0];
}

/* What a daemon does that starts at @now_s, and remembers; @notes: what it says, NULL: nothing. */
static struct service_model *start_at(struct fixture *f, int64_t now_s, const char *notes)
{
	model_free(f->merged);
	f->merged = NULL;
	state_notes_clear(&f->notes);
	assert_int_equal(state_merge(f->path, f->configured, now_s, &f->notes, &f->merged), 0);
	if (notes)
		assert_string_equal(f->notes.text ?: "", notes);
	else
		assert_null(f->notes.text);
	assert_int_equal(state_save(f->path, f->configured, f->merged), 0);
	return &f->merged->services[0];
}

static void save(struct fixture *f)
{
	assert_int_equal(state_save(f->path, f->configured, f->running), 0);
}

static struct cohort_model flag(const char *source, const char *owner, const char *note, int64_t expires_s)
{
	struct cohort_model c;

	memset(&c, 0, sizeof(c));
	assert_int_equal(prefix_parse(source, &c.source), 0);
	strcpy(c.variant, "green");
	strcpy(c.owner, owner);
	strcpy(c.note, note);
	c.expires_s = expires_s;
	c.by_command = true;
	return c;
}

static void instants_are_read_in_any_zone(void **state)
{
	static const struct {
		const char *text;
		int64_t s; /* 0: refused */
	} cases[] = {
		{"2026-12-01T10:00:00Z", EXPIRY_S},
		{"2026-12-01T12:00:00+02:00", EXPIRY_S},
		{"2026-12-01T04:30:00-05:30", EXPIRY_S},
		{"2026-12-01T10:00:00.987Z", EXPIRY_S},
		{"2026-12-01", EXPIRY_S - 10 * 3600},
		{"2028-02-29", 1835395200},
		{"1970-01-02", 86400},
		{"9999-12-31T23:59:59Z", 253402300799},
		{"1970-01-01", 0},
		{"1969-12-31", 0},
		{"2027-02-29", 0},
		{"2026-13-01", 0},
		{"2026-12-32", 0},
		{"2026-12-01T24:00:00Z", 0},
		{"2026-12-01T10:60:00Z", 0},
		{"2026-12-01T10:00:00", 0},
		{"2026-12-01T10:00:00+02", 0},
		{"2026-12-01T10:00:00+24:00", 0},
		{"2026-12-01T10:00Z", 0},
		{"2026-12-01 10:00:00Z", 0},
		{"2026-12-01T10:00:00Zulu", 0},
		{"2026-12-01T10:00:00.Z", 0},
		{"26-12-01", 0},
		{"-026-12-01", 0},
		{"2h", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t s = 0;

		if (text_instant(cases[i].text, &s) != (cases[i].s ? 0 : -EINVAL) || s != cases[i].s)
			fail_msg("%s is %lld", cases[i].text, (long long)s);
	}
}

static void instants_are_written_as_they_are_read(void **state)
{
	char text[INSTANT_SIZE];

	(void)state;
	assert_string_equal(text_of_instant(EXPIRY_S, text), "2026-12-01T10:00:00Z");
}

static void configuration_says_whose_a_cohort_is_and_when_it_goes(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(COHORT(", owner: Suchgruppe Zürich, note: \"INC-7: new tokenizer\"" LATE));
	const struct cohort_model *c = &m->services[0].cohorts[0];

	(void)state;
	assert_string_equal(c->owner, "Suchgruppe Zürich");
	assert_string_equal(c->note, "INC-7: new tokenizer");
	assert_int_equal(c->expires_s, EXPIRY_S);
	assert_false(c->by_command);
}

static void mistakes_in_a_flag_are_refused_in_their_place(void **state)
{
	static const struct {
		const char *keys, *want;
	} cases[] = {
		{", owner: []", "t.yaml:10:60: owner of a cohort of llm is a list: write a text of fewer than 64 "
				"bytes, without control characters\n"},
		{", owner: \"a\\tb\"", "t.yaml:10:60: owner of a cohort of llm is 'a?b': write a text of fewer than 64 "
				       "bytes, without control characters\n"},
		{", expires: 2026-11-31",
		 "t.yaml:10:62: expires of a cohort of llm is '2026-11-31': write a date or a time, as 2026-12-01 or "
		 "2026-12-01T10:00:00Z\n"},
		{", expires: 2h", "t.yaml:10:62: expires of a cohort of llm is '2h': write a date or a time, as "
				  "2026-12-01 or 2026-12-01T10:00:00Z\n"},
		{", until: never", "t.yaml:10:53: unknown key 'until' in a cohort of llm: known are source, variant, "
				   "owner, note, expires\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problems problems = {};
		struct model *model = NULL;
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), COHORT("%s"), cases[i].keys);
		assert_int_equal(config_parse("t.yaml", yaml, strlen(yaml), &problems, &model), -EINVAL);
		assert_string_equal(problems.text, cases[i].want);
		problems_clear(&problems);
	}
}

static void adding_a_cohort_again_changes_what_is_said_of_it(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, COHORT(""));
	struct cohort_model c = flag("10.9.0.0/16", "search", "tokenizer", EXPIRY_S);
	struct refusal why = {};

	assert_int_equal(service_add_cohort(s, &c, NULL), 0);
	assert_int_equal(s->cohort_count, 1);
	assert_memory_equal(&s->cohorts[0], &c, sizeof(c));

	strcpy(c.variant, "blue");
	assert_int_equal(service_add_cohort(s, &c, &why), -EEXIST);
	assert_string_equal(s->cohorts[0].variant, "green");
}

static void what_is_said_of_a_cohort_survives_a_restart(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE);
	struct cohort_model c = flag("10.8.0.0/16", "search", "new \"tokenizer\"", EXPIRY_S);

	assert_int_equal(service_add_cohort(s, &c, NULL), 0);
	save(f);
	for (int i = 0; i < 2; i++) {
		s = start_at(f, EXPIRY_S - 1,
			     "llm: cohort 10.8.0.0/16 (variant green), added by command, stays; the file does not have "
			     "it\n");
		assert_int_equal(s->cohort_count, 1);
		assert_memory_equal(&s->cohorts[0], &c, sizeof(c));
	}
}

static void what_a_command_said_of_a_cohort_of_the_file_stays(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, COHORT(", owner: search"));
	struct cohort_model c = flag("10.9.0.0/16", "ranking", "", EXPIRY_S);

	assert_int_equal(service_add_cohort(s, &c, NULL), 0);
	save(f);
	s = start_at(f, 1,
		     "llm: cohort 10.9.0.0/16 (variant green), removed by command, stays removed; the file has it\n"
		     "llm: cohort 10.9.0.0/16 (variant green), added by command, stays; the file does not have it\n");
	assert_int_equal(s->cohort_count, 1);
	assert_memory_equal(&s->cohorts[0], &c, sizeof(c));
}

static void cohort_that_expired_while_nobody_was_there_is_gone_for_good(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE);
	struct cohort_model c = flag("10.8.0.0/16", "search", "tokenizer", EXPIRY_S);

	assert_int_equal(service_add_cohort(s, &c, NULL), 0);
	save(f);
	s = start_at(f, EXPIRY_S,
		     "llm: cohort 10.8.0.0/16 (variant green) of search, noted tokenizer has expired at "
		     "2026-12-01T10:00:00Z and is not in force\n");
	assert_int_equal(s->cohort_count, 0);
	assert_int_equal(start_at(f, 1, NULL)->cohort_count, 0); /* the clock was set back */
}

static void cohort_of_the_file_that_has_expired_is_not_in_force(void **state)
{
	struct fixture *f = *state;

	configure(f, COHORT(LATE));
	assert_int_equal(start_at(f, EXPIRY_S - 1, NULL)->cohort_count, 1);
	assert_int_equal(start_at(f, EXPIRY_S,
				  "llm: cohort 10.9.0.0/16 (variant green) has expired at 2026-12-01T10:00:00Z and is "
				  "not in force; take it out of the file\n")
				 ->cohort_count,
			 0);
	/* The clock was set back. */
	assert_int_equal(start_at(f, 1,
				  "llm: cohort 10.9.0.0/16 (variant green), removed by command or expired at "
				  "2026-12-01T10:00:00Z, stays removed; the file has it\n")
				 ->cohort_count,
			 0);
	/* Whoever extends it in the file has it back. */
	configure(f, COHORT(", expires: 2027-01-01"));
	assert_int_equal(start_at(f, EXPIRY_S,
				  "llm: the removal of cohort 10.9.0.0/16 (variant green) by command is dropped: the "
				  "file has no such cohort now\n")
				 ->cohort_count,
			 1);
}

static void state_of_before_there_were_flags_is_read(void **state)
{
	static const char old[] = "{\"format\": 1, \"services\": {\"llm\": {\"cohorts\": [{\"source\": "
				  "\"10.8.0.0/16\", \"variant\": \"green\", \"added\": true}]}}}";
	struct fixture *f = *state;
	const struct service_model *s;
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fputs(old, file);
	fclose(file);
	configure(f, SERVICE);
	s = start_at(f, EXPIRY_S,
		     "llm: cohort 10.8.0.0/16 (variant green), added by command, stays; the file does not have it\n");
	assert_int_equal(s->cohort_count, 1);
	assert_string_equal(s->cohorts[0].owner, "");
	assert_int_equal(s->cohorts[0].expires_s, 0);
}

static void change_of_what_is_said_is_told(void **state)
{
	static const struct {
		const char *before, *after, *want;
	} cases[] = {
		{COHORT(LATE), COHORT(LATE), NULL},
		{COHORT(""), COHORT(LATE), "llm: cohort 10.9.0.0/16 to green expires at 2026-12-01T10:00:00Z\n"},
		{COHORT(LATE), COHORT(""), "llm: cohort 10.9.0.0/16 to green does not expire any more\n"},
		{COHORT(", owner: a"), COHORT(", owner: b"),
		 "llm: cohort 10.9.0.0/16 to green has another owner or note\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(model_freep) struct model *before = parse(cases[i].before), *after = parse(cases[i].after);
		_cleanup_free_ char *text = NULL;

		assert_int_equal(model_diff(before, after, &text), 0);
		if (cases[i].want)
			assert_string_equal(text, cases[i].want);
		else
			assert_null(text);
	}
}

int main(void)
{
#define WITH_STATE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instants_are_read_in_any_zone),
		cmocka_unit_test(instants_are_written_as_they_are_read),
		cmocka_unit_test(configuration_says_whose_a_cohort_is_and_when_it_goes),
		cmocka_unit_test(mistakes_in_a_flag_are_refused_in_their_place),
		WITH_STATE(adding_a_cohort_again_changes_what_is_said_of_it),
		WITH_STATE(what_is_said_of_a_cohort_survives_a_restart),
		WITH_STATE(what_a_command_said_of_a_cohort_of_the_file_stays),
		WITH_STATE(cohort_that_expired_while_nobody_was_there_is_gone_for_good),
		WITH_STATE(cohort_of_the_file_that_has_expired_is_not_in_force),
		WITH_STATE(state_of_before_there_were_flags_is_read),
		cmocka_unit_test(change_of_what_is_said_is_told),
	};

	return cmocka_run_group_tests_name("cohorts as feature flags", tests, NULL, NULL);
}
