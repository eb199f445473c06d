// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Shadows: what the file says, what commands may do, what of both is told and remembered. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "model_diff.h"
#include "state.h"
#include "text.h"

/* A service without a shadow, then one with the keys that are given. */
#define FILE_WITH(shadow)                                                                                              \
	"interfaces: [eth0]\nservices:\n"                                                                              \
	"  plain: {address: 10.0.0.11, port: 80, forward: nat, variants: {blue: {weight: 1, backends: "                \
	"[10.0.1.1:80]}}}\n"                                                                                           \
	"  llm:\n    address: 10.0.0.10\n    port: 80\n    forward: nat\n"                                             \
	"    variants: {blue: {weight: 1, backends: [10.0.1.11:80]}}\n" shadow
#define SHADOW(keys) FILE_WITH("    shadow: {" keys "}\n")
#define ONE "backends: [10.0.4.11:8000]"

static void assert_endpoint(const struct endpoint *e, const char *text)
{
	char is[ADDRESS_TEXT_SIZE];

	assert_string_equal(endpoint_format(&e->address, e->port, is), text);
}

/* --- the file --------------------------------------------------------------------------------------------------------
 */

static void a_file_without_one_has_none(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(FILE_WITH(""));

	(void)state;
	assert_false(model_has_shadow(m));
	assert_false(m->services[1].shadow.present);
}

static void what_is_left_out_has_a_default(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(SHADOW(ONE ", sample: 10"));
	const struct shadow_model *s = &m->services[1].shadow;

	(void)state;
	assert_true(model_has_shadow(m));
	assert_false(m->services[0].shadow.present);
	assert_int_equal(s->state, SHADOW_ON);
	assert_int_equal(s->sample, 1000);
	assert_int_equal(s->engine, SHADOW_INLINE);
	assert_int_equal(s->backend_count, 1);
	assert_endpoint(&s->backends[0], "10.0.4.11:8000");
	assert_int_equal(s->rule_count, 0);
	assert_int_equal(s->source_count, 0);
	assert_int_equal(s->port_min, 1024);
	assert_int_equal(s->port_max, 65535);
	assert_int_equal(s->dscp, 0);
	assert_int_equal(s->packets_per_second, 0);
	assert_int_equal(s->linger_s, 10);
	assert_int_equal(s->memory_bytes, 64 << 20);
	assert_int_equal(s->connection_memory_bytes, 16 << 20);
	assert_int_equal(s->connection_segments, 256);
	assert_int_equal(s->pause.of, 200);
	assert_int_equal(s->pause.lost, 500);
	assert_int_equal(s->pause.unanswered, 5000);
}

static void every_key_is_taken(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(SHADOW(
		"backends: [10.0.4.11:8000, {address: 10.0.4.12:9000}], sample: 0.5, always: [10.9.0.0/16, 10.7.0.1],"
		"never: [10.8.0.0/16], sources: [10.0.0.8, 10.0.0.9], ports: 2000-2999, dscp: 63,"
		"packets_per_second: 1000, linger: 1m, connection_segments: 7,"
		"pause: {lost: 1.25%, unanswered: 7, of: 50}"));
	const struct shadow_model *s = &m->services[1].shadow;
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	assert_endpoint(&s->backends[1], "10.0.4.12:9000");
	assert_int_equal(s->sample, 50);
	assert_int_equal(s->rule_count, 3);
	assert_string_equal(prefix_format(&s->rules[0].source, text), "10.9.0.0/16");
	assert_int_equal(s->rules[0].rule, SHADOW_ALWAYS);
	assert_string_equal(prefix_format(&s->rules[1].source, text), "10.7.0.1/32");
	assert_int_equal(s->rules[1].rule, SHADOW_ALWAYS);
	assert_int_equal(s->rules[2].rule, SHADOW_NEVER);
	assert_int_equal(s->source_count, 2);
	assert_int_equal(s->port_min, 2000);
	assert_int_equal(s->port_max, 2999);
	assert_int_equal(s->dscp, 63);
	assert_int_equal(s->packets_per_second, 1000);
	assert_int_equal(s->linger_s, 60);
	assert_int_equal(s->connection_segments, 7);
	assert_int_equal(s->pause.lost, 125);
	assert_int_equal(s->pause.unanswered, 700);
	assert_int_equal(s->pause.of, 50);
}

static void replay_has_memory_of_its_own(void **state)
{
	_cleanup_(model_freep) struct model *m =
		parse(SHADOW(ONE ", sample: 100, engine: replay, memory: 8MiB, pause: off"));
	_cleanup_(model_freep) struct model *both =
		parse(SHADOW(ONE ", sample: 0, engine: replay, memory: 1GiB, replay_connection_memory: 512KiB"));

	(void)state;
	assert_int_equal(m->services[1].shadow.engine, SHADOW_REPLAY);
	assert_int_equal(m->services[1].shadow.sample, SHADOW_SAMPLE_ALL);
	assert_int_equal(m->services[1].shadow.memory_bytes, 8 << 20);
	assert_int_equal(m->services[1].shadow.connection_memory_bytes, 8 << 20);
	assert_int_equal(m->services[1].shadow.pause.of, 0);
	assert_int_equal(both->services[1].shadow.memory_bytes, 1 << 30);
	assert_int_equal(both->services[1].shadow.connection_memory_bytes, 512 << 10);
}

static void two_services_may_have_one_shadow(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(
		SHADOW(ONE ", sample: 10") "  other: {address: 10.0.0.12, port: 80, forward: dnat, variants: {blue: "
					   "{weight: 1, backends: [10.0.2.1:80]}}, shadow: {" ONE ", sample: 1}}\n");

	(void)state;
	assert_endpoint(&m->services[1].shadow.backends[0], "10.0.4.11:8000");
	assert_endpoint(&m->services[2].shadow.backends[0], "10.0.4.11:8000");
}

static void percentages_are_exact_hundredths(void **state)
{
	static const struct {
		const char *text;
		int hundredths; /* -1: refused */
	} cases[] = {
		{"0", 0},      {"100", 10000},  {"100%", 10000}, {"100.00", 10000}, {"0.01", 1},
		{"0.1", 10},   {"12.5%", 1250}, {"99.99", 9999}, {"100.01", -1},    {"101", -1},
		{"0.001", -1}, {"", -1},        {".5", -1},      {"5.", -1},        {"5%%", -1},
		{"-1", -1},    {"1e1", -1},     {"05", -1},      {"1 %", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t is = 77777;
		int error = text_percent(cases[i].text, &is);

		assert_int_equal(error, cases[i].hundredths < 0 ? -EINVAL : 0);
		assert_int_equal(is, cases[i].hundredths < 0 ? 77777 : cases[i].hundredths);
	}
}

/* --- commands
 * ---------------------------------------------------------------------------------------------------------
 */

static void it_is_turned_off_paused_and_on_again(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(SHADOW(ONE ", sample: 10"));
	struct service_model *s = &m->services[1];
	struct refusal why;

	(void)state;
	assert_int_equal(service_pause_shadow(s, "7% of 200 were lost", &why), 0);
	assert_int_equal(s->shadow.state, SHADOW_PAUSED);
	assert_string_equal(s->shadow.reason, "7% of 200 were lost");
	assert_int_equal(service_set_shadow(s, true, &why), 0);
	assert_int_equal(s->shadow.state, SHADOW_ON);
	assert_string_equal(s->shadow.reason, "");
	assert_int_equal(service_set_shadow(s, false, &why), 0);
	assert_int_equal(s->shadow.state, SHADOW_OFF);
	/* Who turned it off knows why. */
	assert_int_equal(service_pause_shadow(s, "7% of 200 were lost", &why), -EINVAL);
	assert_int_equal(s->shadow.state, SHADOW_OFF);
	assert_int_equal(service_set_shadow_sample(s, 1, &why), 0);
	assert_int_equal(s->shadow.sample, 1);
	assert_int_equal(s->shadow.state, SHADOW_OFF);
}

static void what_cannot_be_is_refused_with_a_reason(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(SHADOW(ONE ", sample: 0, never: [10.8.0.0/16]"));
	_cleanup_(model_freep) struct model *by_rule = parse(SHADOW(ONE ", sample: 0, always: [10.8.0.0/16]"));
	struct refusal why;

	(void)state;
	assert_int_equal(service_set_shadow(&m->services[0], false, &why), -ENOENT);
	assert_string_equal(why.text,
			    "plain has no shadow: write shadow: {backends: [ADDRESS:PORT], sample: 10} for it "
			    "in the configuration, then `headgate reload`");
	assert_int_equal(service_set_shadow_sample(&m->services[0], 1, &why), -ENOENT);
	assert_int_equal(service_pause_shadow(&m->services[0], "why", &why), -ENOENT);
	assert_int_equal(service_set_shadow(&m->services[1], true, &why), -EINVAL);
	assert_string_equal(why.text,
			    "the sample of llm's shadow is 0, so that nothing would be mirrored: say how many "
			    "percent first, as `headgate shadow llm sample 10`");
	assert_int_equal(service_set_shadow_sample(&m->services[1], SHADOW_SAMPLE_ALL + 1, &why), -EINVAL);
	assert_int_equal(service_set_shadow(&by_rule->services[1], true, &why), 0);
}

static void a_copy_has_all_of_it(void **state)
{
	_cleanup_(model_freep) struct model *m = parse(SHADOW(ONE ", sample: 10, always: [10.9.0.0/16]"));
	_cleanup_(model_freep) struct model *copy = NULL;

	(void)state;
	assert_int_equal(model_copy(m, &copy), 0);
	assert_memory_equal(&copy->services[1].shadow, &m->services[1].shadow, sizeof(struct shadow_model));
}

/* --- what changed
 * -----------------------------------------------------------------------------------------------------
 */

static void assert_diff(const char *before_yaml, const char *after_yaml, const char *wanted)
{
	_cleanup_(model_freep) struct model *before = parse(before_yaml), *after = parse(after_yaml);
	_cleanup_free_ char *told = NULL;

	assert_int_equal(model_diff(before, after, &told), 0);
	assert_string_equal(told ?: "", wanted);
}

static void what_changes_is_told(void **state)
{
	(void)state;
	assert_diff(SHADOW(ONE ", sample: 10"), SHADOW(ONE ", sample: 10"), "");
	assert_diff(FILE_WITH(""), SHADOW(ONE ", sample: 0.5"),
		    "llm: shadow 10.0.4.11:8000 added\nllm: shadow: 0.5% of connections are mirrored (inline)\n");
	assert_diff(SHADOW(ONE ", sample: 10"), FILE_WITH(""), "llm: shadow 10.0.4.11:8000 removed\n");
	assert_diff(SHADOW(ONE ", sample: 10"),
		    SHADOW("backends: [10.0.4.11:8001], sample: 20, engine: replay, always: [10.9.0.0/16]"),
		    "llm: shadow 10.0.4.11:8000 removed\n"
		    "llm: shadow 10.0.4.11:8001 added\n"
		    "llm: shadow: sample changed from 10% to 20%\n"
		    "llm: shadow: engine is now replay\n"
		    "llm: shadow: whose connections are always or never mirrored changed\n");
	assert_diff(SHADOW(ONE ", sample: 10, always: [10.9.0.0/16]"), SHADOW(ONE ", sample: 10, never: [10.9.0.0/16]"),
		    "llm: shadow: whose connections are always or never mirrored changed\n");
	assert_diff(SHADOW(ONE ", sample: 10"), SHADOW(ONE ", sample: 10, dscp: 8, linger: 5s, pause: off"),
		    "llm: shadow: what copies look like changed (sources, ports, dscp)\n"
		    "llm: shadow: its limits changed\n"
		    "llm: shadow: when it is paused changed\n");
}

/* --- what is remembered
 * -----------------------------------------------------------------------------------------------
 */

struct fixture {
	char path[64];
	struct model *merged;
	struct state_notes notes;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/headgate-test-shadow-XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0)
		return -1;
	close(fd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char damaged[80];

	snprintf(damaged, sizeof(damaged), "%s.damaged", f->path);
	unlink(damaged);
	unlink(f->path);
	model_free(f->merged);
	state_notes_clear(&f->notes);
	free(f);
	return 0;
}

/* Remembers how @running differs from what the file said, and starts again with a file that says @yaml. */
static const struct shadow_model *again(struct fixture *f, const struct model *configured, const struct model *running,
					const char *yaml, const char *notes)
{
	_cleanup_(model_freep) struct model *now = parse(yaml);

	assert_int_equal(state_save(f->path, configured, running), 0);
	model_free(f->merged);
	f->merged = NULL;
	state_notes_clear(&f->notes);
	assert_int_equal(state_merge(f->path, now, 0, &f->notes, &f->merged), 0);
	assert_string_equal(f->notes.text ?: "", notes);
	return &f->merged->services[1].shadow;
}

static void a_sample_set_by_command_stays_until_the_file_says_another(void **state)
{
	_cleanup_(model_freep) struct model *configured = parse(SHADOW(ONE ", sample: 10"));
	_cleanup_(model_freep) struct model *running = parse(SHADOW(ONE ", sample: 0.25"));
	struct fixture *f = *state;

	assert_int_equal(again(f, configured, running, SHADOW(ONE ", sample: 10"),
			       "llm: the shadow's sample of 0.25%, set by command or by a rollout, stays in force; the "
			       "file says 10%\n")
				 ->sample,
			 25);
	assert_int_equal(again(f, configured, running, SHADOW(ONE ", sample: 20"),
			       "llm: the shadow's sample of 0.25%, set by command or by a rollout, is dropped: the "
			       "file said 10% then and "
			       "says 20% now\n")
				 ->sample,
			 2000);
	assert_false(again(f, configured, running, FILE_WITH(""),
			   "llm: what was set by command for its shadow is dropped: the file has no shadow now\n")
			     ->present);
	assert_int_equal(again(f, configured, configured, SHADOW(ONE ", sample: 20"), "")->sample, 2000);
}

static void off_and_paused_stay_whatever_else_the_file_says(void **state)
{
	_cleanup_(model_freep) struct model *configured = parse(SHADOW(ONE ", sample: 10"));
	_cleanup_(model_freep) struct model *running = parse(SHADOW(ONE ", sample: 10"));
	struct fixture *f = *state;
	const struct shadow_model *is;
	struct refusal why;

	assert_int_equal(service_set_shadow(&running->services[1], false, &why), 0);
	is = again(f, configured, running, SHADOW(ONE ", sample: 20"),
		   "llm: its shadow, turned off by command, stays off\n");
	assert_int_equal(is->state, SHADOW_OFF);
	assert_int_equal(is->sample, 2000);
	running->services[1].shadow.state = SHADOW_ON;
	assert_int_equal(service_pause_shadow(&running->services[1], "7% of 200 were lost", &why), 0);
	is = again(f, configured, running, SHADOW("backends: [10.0.4.12:8000], sample: 10"),
		   "llm: its shadow stays paused: 7% of 200 were lost\n");
	assert_int_equal(is->state, SHADOW_PAUSED);
	assert_string_equal(is->reason, "7% of 200 were lost");
	assert_int_equal(service_set_shadow(&running->services[1], true, &why), 0);
	assert_int_equal(again(f, configured, running, SHADOW(ONE ", sample: 10"), "")->state, SHADOW_ON);
}

static void a_damaged_decision_is_set_aside(void **state)
{
	static const char *const damaged[] = {
		"[]",
		"{\"sample\": 5}",
		"{\"sample\": {\"configured\": 1, \"running\": 10001}}",
		"{\"sample\": {\"configured\": -1, \"running\": 1}}",
		"{\"sample\": {\"running\": 1}}",
		"{\"state\": \"on\", \"reason\": \"\"}",
		"{\"state\": 1, \"reason\": \"\"}",
		"{\"state\": \"paused\"}",
	};
	_cleanup_(model_freep) struct model *now = parse(SHADOW(ONE ", sample: 10"));
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		_cleanup_fclose_ FILE *file = fopen(f->path, "we");

		assert_non_null(file);
		fprintf(file, "{\"format\": 1, \"services\": {\"llm\": {\"shadow\": %s}}}", damaged[i]);
		fflush(file);
		model_free(f->merged);
		f->merged = NULL;
		state_notes_clear(&f->notes);
		assert_int_equal(state_merge(f->path, now, 0, &f->notes, &f->merged), 0);
		assert_non_null(strstr(f->notes.text, "has a damaged service, 'llm'"));
		assert_int_equal(f->merged->services[1].shadow.sample, 1000);
		assert_int_equal(f->merged->services[1].shadow.state, SHADOW_ON);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_without_one_has_none),
		cmocka_unit_test(what_is_left_out_has_a_default),
		cmocka_unit_test(every_key_is_taken),
		cmocka_unit_test(replay_has_memory_of_its_own),
		cmocka_unit_test(two_services_may_have_one_shadow),
		cmocka_unit_test(percentages_are_exact_hundredths),
		cmocka_unit_test(it_is_turned_off_paused_and_on_again),
		cmocka_unit_test(what_cannot_be_is_refused_with_a_reason),
		cmocka_unit_test(a_copy_has_all_of_it),
		cmocka_unit_test(what_changes_is_told),
		cmocka_unit_test_setup_teardown(a_sample_set_by_command_stays_until_the_file_says_another, setup,
						teardown),
		cmocka_unit_test_setup_teardown(off_and_paused_stay_whatever_else_the_file_says, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_decision_is_set_aside, setup, teardown),
	};

	return cmocka_run_group_tests_name("shadows in the model", tests, NULL, NULL);
}
