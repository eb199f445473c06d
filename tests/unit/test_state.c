// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What was decided by command outlives the daemon, until the configuration says something else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cohort_fixture.h"
#include "config.h"
#include "state_fixture.h"

#define VARIANTS(blue, green)                                                                                          \
	"    variants:\n"                                                                                              \
	"      blue: {weight: " blue ", backends: [10.0.1.11:80]}\n"                                                   \
	"      green: {weight: " green ", backends: [10.0.2.11:80]}\n"
#define SERVICE "interfaces: [eth0]\nservices:\n  llm:\n    address: 10.0.0.10\n    port: 80\n    forward: nat\n"
#define COHORT "    cohorts: [{source: 10.9.0.0/16, variant: green}]\n"
#define FILE_SAYS SERVICE VARIANTS("100", "0") COHORT

/* A damaged one may be there, too, and the folder be closed. */
static int remove_all(void **state)
{
	struct fixture *f = *state;

	chmod(f->folder, 0700);
	unlink(f->damaged);
	return teardown(state);
}

/* Replaces what the configuration says, and what runs. */
static struct service_model *configure(struct fixture *f, const char *yaml)
{
	struct problems problems = {};

	model_free(f->configured);
	model_free(f->running);
	f->configured = f->running = NULL;
	if (config_parse("t.yaml", yaml, strlen(yaml), &problems, &f->configured))
		fail_msg("%s", problems.text);
	assert_int_equal(model_copy(f->configured, &f->running), 0);
	return f->running->service_count ? &f->running->services[0] : NULL;
}

static void save(struct fixture *f)
{
	assert_int_equal(state_save(f->path, f->configured, f->running), 0);
}

/* Merges, and expects @notes (NULL: none). */
static struct service_model *merge(struct fixture *f, const char *notes)
{
	model_free(f->merged);
	f->merged = NULL;
	state_notes_clear(&f->notes);
	assert_int_equal(state_merge(f->path, f->configured, 0, &f->notes, &f->merged), 0);
	if (notes)
		assert_string_equal(f->notes.text ?: "", notes);
	else
		assert_null(f->notes.text);
	return f->merged->service_count ? &f->merged->services[0] : NULL;
}

static void assert_weights(const struct service_model *s, uint32_t blue, uint32_t green)
{
	assert_int_equal(s->variants[0].weight, blue);
	assert_int_equal(s->variants[1].weight, green);
}

static void set_weights(struct service_model *s, uint32_t blue, uint32_t green)
{
	struct weight weights[] = {{"blue", blue}, {"green", green}};

	assert_int_equal(service_set_weights(s, weights, 2, NULL), 0);
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void assert_cohort(const struct service_model *s, size_t index, const char *source, const char *variant,
			  bool by_command)
{
	char text[ADDRESS_TEXT_SIZE];

	assert_in_range(index, 0, s->cohort_count - 1);
	assert_string_equal(prefix_format(&s->cohorts[index].source, text), source);
	assert_string_equal(s->cohorts[index].variant, variant);
	assert_int_equal(s->cohorts[index].by_command, by_command);
}

static void write_file(const char *path, const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	fclose(file);
}

static void assert_file_is(const char *path, const char *want)
{
	char text[4096] = "";
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_string_equal(text, want);
}

static void without_a_state_the_file_is_in_force(void **state)
{
	struct fixture *f = *state;

	configure(f, FILE_SAYS);
	assert_weights(merge(f, NULL), 100, 0);
	assert_cohort(&f->merged->services[0], 0, "10.9.0.0/16", "green", false);
}

static void without_decisions_the_state_is_empty(void **state)
{
	struct fixture *f = *state;

	configure(f, FILE_SAYS);
	save(f);
	assert_file_is(f->path, "{\n  \"format\": 1,\n  \"services\": {}\n}");
	assert_weights(merge(f, NULL), 100, 0);
}

static void weights_set_by_command_stay(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, FILE_SAYS), 90, 10);
	save(f);
	assert_weights(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, stay in force; the "
				"file says blue=100\n"),
		       90, 10);
	assert_int_equal(f->merged->services[0].cohort_count, 1);
}

static void a_later_decision_replaces_an_earlier_one(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, FILE_SAYS);

	set_weights(s, 90, 10);
	save(f);
	set_weights(s, 0, 7);
	save(f);
	assert_weights(
		merge(f,
		      "llm: weights green=7, set by command or by a rollout, stay in force; the file says blue=100\n"),
		0, 7);
	set_weights(s, 100, 0);
	save(f);
	assert_weights(merge(f, NULL), 100, 0);
}

static void weights_are_dropped_once_the_file_says_others(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, FILE_SAYS), 90, 10);
	save(f);
	configure(f, SERVICE VARIANTS("50", "50") COHORT);
	assert_weights(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, are dropped: the file "
				"said blue=100 then and "
				"says blue=50 green=50 now\n"),
		       50, 50);
}

static void weights_survive_a_new_variant_without_weight(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, FILE_SAYS), 90, 10);
	save(f);
	configure(f, SERVICE VARIANTS("100", "0") "      red: {weight: 0, backends: []}\n");
	assert_weights(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, stay in force; the "
				"file says blue=100\n"),
		       90, 10);
	assert_int_equal(f->merged->services[0].variants[2].weight, 0);
}

static void weights_are_dropped_with_their_variant(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, SERVICE VARIANTS("100", "0")), 90, 10);
	save(f);
	configure(f, SERVICE "    variants: {blue: {weight: 100, backends: [10.0.1.11:80]}}\n");
	assert_int_equal(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, are dropped: the "
				  "file has no variant green "
				  "any more\n")
				 ->variants[0]
				 .weight,
			 100);
}

static void weights_are_dropped_once_the_file_loses_a_variant_with_weight(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, SERVICE VARIANTS("50", "50")), 100, 0);
	save(f);
	configure(f, SERVICE "    variants: {blue: {weight: 50, backends: [10.0.1.11:80]}}\n");
	merge(f, "llm: weights blue=100, set by command or by a rollout, are dropped: the file said blue=50 green=50 "
		 "then and says "
		 "blue=50 "
		 "now\n");
	assert_int_equal(f->merged->services[0].variants[0].weight, 50);
}

static void weights_are_dropped_with_their_backends(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, SERVICE VARIANTS("100", "0")), 90, 10);
	save(f);
	configure(f, SERVICE "    variants:\n      blue: {weight: 100, backends: [10.0.1.11:80]}\n"
			     "      green: {weight: 0, backends: []}\n");
	assert_weights(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, are dropped: green of "
				"llm has no backends: "
				"give it some in the configuration first\n"),
		       100, 0);
}

static void decisions_are_dropped_with_their_service(void **state)
{
	struct fixture *f = *state;

	set_weights(configure(f, FILE_SAYS), 90, 10);
	save(f);
	configure(f, "interfaces: [eth0]\nservices: {}\n");
	assert_null(merge(f, "llm: what was set by command is dropped: the file has no such service now\n"));
}

static void a_cohort_added_by_command_stays(void **state)
{
	struct fixture *f = *state;
	struct prefix source = prefix("10.8.0.0/16");

	assert_int_equal(add_cohort(configure(f, FILE_SAYS), &source, "blue", true, NULL), 0);
	save(f);
	merge(f, "llm: cohort 10.8.0.0/16 (variant blue), added by command, stays; the file does not have it\n");
	assert_int_equal(f->merged->services[0].cohort_count, 2);
	assert_cohort(&f->merged->services[0], 1, "10.8.0.0/16", "blue", true);
}

static void an_added_cohort_is_dropped_where_the_file_speaks_against_it(void **state)
{
	struct fixture *f = *state;
	struct prefix source = prefix("10.8.0.0/16");

	assert_int_equal(add_cohort(configure(f, FILE_SAYS), &source, "blue", true, NULL), 0);
	save(f);
	configure(f, SERVICE VARIANTS("1", "0") "    cohorts: [{source: 10.8.1.0/24, variant: green}]\n");
	merge(f, "llm: cohort 10.8.0.0/16 (variant blue), added by command, is dropped: 10.8.0.0/16 overlaps cohort "
		 "10.8.1.0/24 (variant green) of llm: remove that one first, or give another prefix\n");
	assert_int_equal(f->merged->services[0].cohort_count, 1);

	configure(f, SERVICE VARIANTS("1", "0") "    cohorts: [{source: 10.8.0.0/16, variant: blue}]\n");
	merge(f, "llm: cohort 10.8.0.0/16 (variant blue), added by command, is in the file now\n");
	assert_int_equal(f->merged->services[0].cohort_count, 1);
	assert_cohort(&f->merged->services[0], 0, "10.8.0.0/16", "blue", false);

	configure(f, SERVICE "    variants: {green: {weight: 1, backends: [10.0.2.11:80]}}\n");
	merge(f,
	      "llm: cohort 10.8.0.0/16 (variant blue), added by command, is dropped: unknown variant 'blue' of llm; it "
	      "has green\n");
	assert_int_equal(f->merged->services[0].cohort_count, 0);
}

static void a_cohort_removed_by_command_stays_removed_while_the_file_has_it(void **state)
{
	struct fixture *f = *state;
	struct prefix source = prefix("10.9.0.0/16");

	assert_int_equal(service_remove_cohort(configure(f, FILE_SAYS), &source, NULL), 0);
	save(f);
	merge(f, "llm: cohort 10.9.0.0/16 (variant green), removed by command, stays removed; the file has it\n");
	assert_int_equal(f->merged->services[0].cohort_count, 0);

	configure(f, SERVICE VARIANTS("100", "0") "    cohorts: [{source: 10.9.0.0/16, variant: blue}]\n");
	merge(f, "llm: the removal of cohort 10.9.0.0/16 (variant green) by command is dropped: the file has no such "
		 "cohort "
		 "now\n");
	assert_cohort(&f->merged->services[0], 0, "10.9.0.0/16", "blue", false);
}

static void a_cohort_moved_to_another_variant_stays_there(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, FILE_SAYS);
	struct prefix source = prefix("10.9.0.0/16");

	assert_int_equal(service_remove_cohort(s, &source, NULL), 0);
	assert_int_equal(add_cohort(s, &source, "blue", true, NULL), 0);
	save(f);
	merge(f, "llm: cohort 10.9.0.0/16 (variant green), removed by command, stays removed; the file has it\n"
		 "llm: cohort 10.9.0.0/16 (variant blue), added by command, stays; the file does not have it\n");
	assert_int_equal(f->merged->services[0].cohort_count, 1);
	assert_cohort(&f->merged->services[0], 0, "10.9.0.0/16", "blue", true);
}

/* Blue has two backends here, so that one may be drained. */
#define TWO_BLUE                                                                                                       \
	"    variants:\n      blue: {weight: 100, backends: [10.0.1.11:80, 10.0.1.12:80]}\n"                           \
	"      green: {weight: 0, backends: [10.0.2.11:80]}\n"

static void drain(struct service_model *s, const char *text)
{
	struct endpoint backend;

	assert_int_equal(endpoint_parse(text, &backend), 0);
	assert_int_equal(service_drain_backend(s, &backend, true, NULL), 0);
}

static void a_backend_drained_by_command_stays_drained(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE TWO_BLUE);

	drain(s, "10.0.1.12:80");
	drain(s, "10.0.2.11:80");
	save(f);
	s = merge(f, "llm: backend 10.0.1.12:80 of blue, drained by command, stays drained\n"
		     "llm: backend 10.0.2.11:80 of green, drained by command, stays drained\n");
	assert_false(s->variants[0].backends[0].drained);
	assert_true(s->variants[0].backends[1].drained);
	assert_true(s->variants[1].backends[0].drained);
}

static void a_backend_taken_back_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE TWO_BLUE);

	drain(s, "10.0.1.12:80");
	save(f);
	s->variants[0].backends[1].drained = false;
	save(f);
	assert_file_is(f->path, "{\n  \"format\": 1,\n  \"services\": {}\n}");
	assert_false(merge(f, NULL)->variants[0].backends[1].drained);
}

static void a_draining_is_dropped_with_its_backend(void **state)
{
	struct fixture *f = *state;

	drain(configure(f, SERVICE TWO_BLUE), "10.0.1.12:80");
	save(f);
	configure(f, SERVICE VARIANTS("100", "0"));
	merge(f, "llm: the draining of backend 10.0.1.12:80 of blue by command is dropped: blue of llm has no backend "
		 "10.0.1.12:80\n");

	configure(f, SERVICE "    variants: {green: {weight: 1, backends: [10.0.1.12:80, 10.0.1.13:80]}}\n");
	assert_false(merge(f,
			   "llm: the draining of backend 10.0.1.12:80 of blue by command is dropped: blue of llm has "
			   "no backend 10.0.1.12:80\n")
			     ->variants[0]
			     .backends[0]
			     .drained);
}

static void a_draining_is_dropped_where_it_would_leave_nobody(void **state)
{
	struct fixture *f = *state;

	drain(configure(f, SERVICE TWO_BLUE), "10.0.1.11:80");
	save(f);
	configure(f, SERVICE VARIANTS("100", "0"));
	assert_false(merge(f,
			   "llm: the draining of backend 10.0.1.11:80 of blue by command is dropped: 10.0.1.11:80 is "
			   "the last backend of blue of llm that is not drained, and blue has weight 100: move the "
			   "weight to others first (`headgate weights llm`)\n")
			     ->variants[0]
			     .backends[0]
			     .drained);
}

static void drained_backends_are_judged_by_the_weights_in_force(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE TWO_BLUE);

	set_weights(s, 0, 100);
	drain(s, "10.0.1.11:80");
	drain(s, "10.0.1.12:80");
	save(f);
	s = merge(f, "llm: weights green=100, set by command or by a rollout, stay in force; the file says blue=100\n"
		     "llm: backend 10.0.1.11:80 of blue, drained by command, stays drained\n"
		     "llm: backend 10.0.1.12:80 of blue, drained by command, stays drained\n");
	assert_weights(s, 0, 100);
	assert_true(s->variants[0].backends[0].drained);
	assert_true(s->variants[0].backends[1].drained);
}

static void what_was_merged_is_saved_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct service_model *s = configure(f, SERVICE TWO_BLUE COHORT);
	struct prefix source = prefix("10.8.0.0/16");
	char first[4096] = "";
	FILE *file;

	set_weights(s, 90, 10);
	drain(s, "10.0.1.11:80");
	assert_int_equal(add_cohort(s, &source, "blue", true, NULL), 0);
	save(f);
	file = fopen(f->path, "r");
	assert_non_null(file);
	assert_true(fread(first, 1, sizeof(first) - 1, file) > 0);
	fclose(file);
	assert_int_equal(state_merge(f->path, f->configured, 0, &f->notes, &f->merged), 0);
	assert_int_equal(state_save(f->path, f->configured, f->merged), 0);
	assert_file_is(f->path, first);
}

static void a_damaged_state_is_set_aside_and_not_obeyed(void **state)
{
#define IN_LLM(text) "{\"format\": 1, \"services\": {\"llm\": {" text "}}}"
#define RUNNING(weights) IN_LLM("\"weights\": {\"configured\": {\"blue\": 100}, \"running\": " weights "}")
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "is not JSON (line 1)"},
		{"{\n\"format\": 1,", "is not JSON (line 2)"},
		{"[]", "is not of format 1"},
		{"{\"format\": 2, \"services\": {}}", "is not of format 1"},
		{"{\"format\": 1}", "has no services"},
		{"{\"format\": 1, \"services\": {\"l\\nm\": {}}}", "has a damaged service, '?'"},
		{"{\"format\": 1, \"services\": {\"llm\": 1}}", "has a damaged service, 'llm'"},
		{RUNNING("{\"green\": -1}"), "has a damaged service, 'llm'"},
		{RUNNING("{\"green\": 1000001}"), "has a damaged service, 'llm'"},
		{RUNNING("{\"green\": 1.5}"), "has a damaged service, 'llm'"},
		{RUNNING("{\"Green\": 1}"), "has a damaged service, 'llm'"},
		{RUNNING("{\"green\": 1, \"green\": 2}"), "is not JSON (line 1)"},
		{IN_LLM("\"weights\": {\"running\": {\"green\": 1}}"), "has a damaged service, 'llm'"},
		{IN_LLM("\"cohorts\": {}"), "has a damaged service, 'llm'"},
		{IN_LLM("\"cohorts\": [{\"source\": \"10.8.0.0/16\", \"variant\": \"blue\"}]"),
		 "has a damaged service, 'llm'"},
		{IN_LLM("\"cohorts\": [{\"source\": \"10.8.0.1/16\", \"variant\": \"blue\", \"added\": true}]"),
		 "has a damaged service, 'llm'"},
		{IN_LLM("\"drained\": {}"), "has a damaged service, 'llm'"},
		{IN_LLM("\"drained\": [\"10.0.1.11:80\"]"), "has a damaged service, 'llm'"},
		{IN_LLM("\"drained\": [{\"variant\": \"blue\", \"backend\": \"10.0.1.11\"}]"),
		 "has a damaged service, 'llm'"},
		{IN_LLM("\"drained\": [{\"variant\": \"Blue\", \"backend\": \"10.0.1.11:80\"}]"),
		 "has a damaged service, 'llm'"},
	};
	struct fixture *f = *state;

	configure(f, FILE_SAYS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *want = NULL;

		write_file(f->path, cases[i].text, strlen(cases[i].text));
		assert_true(asprintf(&want,
				     "%s: %s; it is ignored, and set aside as %s: what was set by command is lost\n",
				     f->path, cases[i].why, f->damaged) > 0);
		assert_weights(merge(f, want), 100, 0);
		assert_int_equal(f->merged->services[0].cohort_count, 1);
		assert_int_equal(access(f->path, F_OK), -1);
		assert_int_equal(unlink(f->damaged), 0);
	}
}

static void a_state_above_16_mib_is_set_aside(void **state)
{
	struct fixture *f = *state;
	size_t length = (16U << 20) + 1;
	_cleanup_free_ char *text = malloc(length);

	assert_non_null(text);
	memset(text, ' ', length);
	memcpy(text, "{\"format\": 1, \"services\": {}}", 29);
	configure(f, FILE_SAYS);
	write_file(f->path, text, length - 1);
	merge(f, NULL);
	write_file(f->path, text, length);
	model_free(f->merged);
	f->merged = NULL;
	assert_int_equal(state_merge(f->path, f->configured, 0, &f->notes, &f->merged), 0);
	assert_non_null(strstr(f->notes.text, "is larger than 16 MiB; it is ignored, and set aside as "));
	assert_int_equal(access(f->damaged, F_OK), 0);
}

static void a_state_that_cannot_be_read_is_an_error_and_left_alone(void **state)
{
	struct fixture *f = *state;

	configure(f, FILE_SAYS);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(state_merge(f->path, f->configured, 0, &f->notes, &f->merged), -EISDIR);
	assert_null(f->merged);
	assert_non_null(strstr(f->notes.text, "state.json: cannot be read: Is a directory"));
	assert_int_equal(rmdir(f->path), 0);
}

static void a_state_that_cannot_be_written_leaves_the_old_one(void **state)
{
	struct fixture *f = *state;
	char new[128];

	set_weights(configure(f, FILE_SAYS), 90, 10);
	save(f);
	snprintf(new, sizeof(new), "%s.new", f->path);
	assert_int_equal(mkdir(new, 0700), 0);
	set_weights(&f->running->services[0], 1, 1);
	assert_int_equal(state_save(f->path, f->configured, f->running), -EISDIR);
	assert_int_equal(rmdir(new), 0);
	assert_weights(merge(f, "llm: weights blue=90 green=10, set by command or by a rollout, stay in force; the "
				"file says blue=100\n"),
		       90, 10);
	assert_int_equal(state_save("/nonexistent/state.json", f->configured, f->running), -ENOENT);
}

static void a_new_state_is_another_file_and_only_its_owner_reads_it(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	configure(f, FILE_SAYS);
	save(f);
	assert_int_equal(stat(f->path, &before), 0);
	save(f);
	assert_int_equal(stat(f->path, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(after.st_mode & 0777, 0600);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, remove_all)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(without_a_state_the_file_is_in_force),
		TEST(without_decisions_the_state_is_empty),
		TEST(weights_set_by_command_stay),
		TEST(a_later_decision_replaces_an_earlier_one),
		TEST(weights_are_dropped_once_the_file_says_others),
		TEST(weights_survive_a_new_variant_without_weight),
		TEST(weights_are_dropped_with_their_variant),
		TEST(weights_are_dropped_once_the_file_loses_a_variant_with_weight),
		TEST(weights_are_dropped_with_their_backends),
		TEST(decisions_are_dropped_with_their_service),
		TEST(a_cohort_added_by_command_stays),
		TEST(an_added_cohort_is_dropped_where_the_file_speaks_against_it),
		TEST(a_cohort_removed_by_command_stays_removed_while_the_file_has_it),
		TEST(a_cohort_moved_to_another_variant_stays_there),
		TEST(a_backend_drained_by_command_stays_drained),
		TEST(a_backend_taken_back_is_forgotten),
		TEST(a_draining_is_dropped_with_its_backend),
		TEST(a_draining_is_dropped_where_it_would_leave_nobody),
		TEST(drained_backends_are_judged_by_the_weights_in_force),
		TEST(what_was_merged_is_saved_as_it_was),
		TEST(a_damaged_state_is_set_aside_and_not_obeyed),
		TEST(a_state_above_16_mib_is_set_aside),
		TEST(a_state_that_cannot_be_read_is_an_error_and_left_alone),
		TEST(a_state_that_cannot_be_written_leaves_the_old_one),
		TEST(a_new_state_is_another_file_and_only_its_owner_reads_it),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
