// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What commands may do to a model, and what they are told when they may not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cohort_fixture.h"
#include "config.h"

static const char yaml[] =
	"interfaces: [eth0, eth1]\n"
	"metrics: {listen: 127.0.0.1:9850}\n"
	"services:\n"
	"  llm:\n"
	"    address: 10.0.0.10\n"
	"    port: 8000\n"
	"    forward: nat\n"
	"    variants:\n"
	"      blue: {weight: 50, backends: [10.0.1.11:8000, 10.0.1.12:8000]}\n"
	"      green: {weight: 50, backends: [10.0.2.11:8000]}\n"
	"      canary: {weight: 0, backends: [10.0.3.11:8000]}\n"
	"      empty: {weight: 0, backends: []}\n"
	"    cohorts: [{source: 10.9.0.0/16, variant: canary}]\n"
	"    nat: {sources: [10.0.1.5]}\n"
	"    drain: {on_change: reset}\n"
	"    measure: 1/8\n"
	"    health: {check: http, path: /health}\n"
	"  chat: {address: \"fd00::10\", port: 80, forward: dnat, variants: {blue: {weight: 1, backends: "
	"[\"[fd00::1]:80\"]}}}\n";

static struct model *load(void)
{
	struct problems problems = {};
	struct model *m = NULL;

	if (config_parse("t.yaml", yaml, strlen(yaml), &problems, &m))
		fail_msg("%s", problems.text);
	return m;
}

/* The weights of blue, green, canary and empty. */
static void assert_weights(const struct service_model *s, uint32_t blue, uint32_t green, uint32_t canary,
			   uint32_t empty)
{
	assert_int_equal(s->variants[0].weight, blue);
	assert_int_equal(s->variants[1].weight, green);
	assert_int_equal(s->variants[2].weight, canary);
	assert_int_equal(s->variants[3].weight, empty);
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void services_and_variants_are_found_by_name(void **state)
{
	_cleanup_(model_freep) struct model *m = load();

	(void)state;
	assert_ptr_equal(model_find_service(m, "chat"), &m->services[1]);
	assert_null(model_find_service(m, "ll"));
	assert_int_equal(service_find_variant(&m->services[0], "canary"), 2);
	assert_int_equal(service_find_variant(&m->services[0], "gren"), -1);
}

static void a_copy_shares_nothing_with_its_original(void **state)
{
	struct model *m = load();
	_cleanup_(model_freep) struct model *copy = NULL;
	struct prefix source = prefix("10.9.0.0/16");

	(void)state;
	m->services[0].variants[2].backends[0].drained = true;
	assert_int_equal(model_copy(m, &copy), 0);
	m->services[0].variants[2].backends[0].drained = false;
	m->services[0].health.path[0] = '\0';
	assert_int_equal(service_switch(&m->services[0], "green", NULL), 0);
	assert_int_equal(service_remove_cohort(&m->services[0], &source, NULL), 0);
	m->services[0].variants[0].backends[1].weight = 9;
	strcpy(m->interfaces[1].name, "gone");
	model_free(m);

	assert_int_equal(copy->interface_count, 2);
	assert_string_equal(copy->interfaces[1].name, "eth1");
	assert_int_equal(copy->service_count, 2);
	assert_weights(&copy->services[0], 50, 50, 0, 0);
	assert_int_equal(copy->services[0].variants[0].backend_count, 2);
	assert_int_equal(copy->services[0].variants[0].backends[1].weight, 1);
	assert_int_equal(copy->services[0].cohort_count, 1);
	assert_string_equal(copy->services[0].cohorts[0].variant, "canary");
	assert_int_equal(copy->services[0].source_count, 1);
	assert_int_equal(copy->services[1].vip.port, 80);
	assert_int_equal(copy->limits.services, 64);
	assert_int_equal(copy->metrics.port, 9850);
	assert_int_equal(copy->services[0].on_change, DRAIN_RESET);
	assert_int_equal(copy->services[0].measure_shift, 3);
	assert_string_equal(copy->services[0].health.path, "/health");
	assert_true(copy->services[0].variants[2].backends[0].drained);
	assert_false(copy->services[0].variants[0].backends[0].drained);
}

static void a_variant_that_is_not_named_and_has_no_weight_stays_without(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	static const struct weight weights[] = {{"green", 0}, {"blue", 1000000}};

	(void)state;
	assert_int_equal(service_set_weights(&m->services[0], weights, ARRAY_SIZE(weights), NULL), 0);
	assert_weights(&m->services[0], 1000000, 0, 0, 0);
}

static void weights_that_cannot_be_are_refused_with_a_reason(void **state)
{
	static const struct {
		struct weight weights[4];
		size_t count;
		int err;
		const char *why;
	} cases[] = {
		{{{"blue", 100}},
		 1,
		 -EINVAL,
		 "green has weight 50 and is not named: say green=50 to keep it or green=0 to take it away"},
		{{{"blue", 50}, {"gren", 50}},
		 2,
		 -ENOENT,
		 "unknown variant 'gren' of llm; it has blue, green, canary, empty"},
		{{{"blue", 50}, {"green", 50}, {"blue", 50}}, 3, -EINVAL, "blue is named twice: give it one weight"},
		{{{"blue", 0}, {"green", 0}},
		 2,
		 -EINVAL,
		 "all weights of llm would be 0: give at least one of blue, green, canary, empty a weight above 0"},
		{{{"blue", 50}, {"green", 40}, {"empty", 10}},
		 3,
		 -EINVAL,
		 "empty of llm has no backends: give it some in the configuration first"},
		{{{"blue", 1000001}, {"green", 0}},
		 2,
		 -EINVAL,
		 "blue=1000001 is too much: a weight is a whole number from 0 to 1000000"},
		{{},
		 0,
		 -EINVAL,
		 "blue has weight 50 and is not named: say blue=50 to keep it or blue=0 to take it away"},
	};
	_cleanup_(model_freep) struct model *m = load();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct refusal why = {};

		assert_int_equal(service_set_weights(&m->services[0], cases[i].weights, cases[i].count, &why),
				 cases[i].err);
		assert_string_equal(why.text, cases[i].why);
		assert_weights(&m->services[0], 50, 50, 0, 0);
	}
}

static void a_switch_gives_one_variant_everything(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct refusal why = {};

	(void)state;
	assert_int_equal(service_switch(&m->services[0], "canary", &why), 0);
	assert_weights(&m->services[0], 0, 0, 100, 0);
	assert_int_equal(service_switch(&m->services[0], "purple", &why), -ENOENT);
	assert_string_equal(why.text, "unknown variant 'purple' of llm; it has blue, green, canary, empty");
	assert_int_equal(service_switch(&m->services[0], "empty", &why), -EINVAL);
	assert_string_equal(why.text, "empty of llm has no backends: give it some in the configuration first");
	assert_weights(&m->services[0], 0, 0, 100, 0);
}

static void a_cohort_is_added_and_removed(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct prefix added = prefix("10.8.0.0/16"), configured = prefix("10.9.0.0/16");

	(void)state;
	assert_int_equal(add_cohort(s, &added, "green", true, NULL), 0);
	assert_int_equal(s->cohort_count, 2);
	assert_true(prefix_equal(&s->cohorts[1].source, &added));
	assert_string_equal(s->cohorts[1].variant, "green");
	assert_true(s->cohorts[1].by_command);
	assert_false(s->cohorts[0].by_command);

	assert_int_equal(service_remove_cohort(s, &configured, NULL), 0);
	assert_int_equal(s->cohort_count, 1);
	assert_true(prefix_equal(&s->cohorts[0].source, &added));
	assert_int_equal(service_remove_cohort(s, &added, NULL), 0);
	assert_int_equal(s->cohort_count, 0);
	assert_int_equal(add_cohort(s, &configured, "blue", false, NULL), 0);
}

static void cohorts_that_cannot_be_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *source, *variant;
		int err;
		const char *why;
	} cases[] = {
		{"10.8.0.0/16", "gren", -ENOENT, "unknown variant 'gren' of llm; it has blue, green, canary, empty"},
		{"10.8.0.0/16", "empty", -EINVAL,
		 "empty of llm has no backends: give it some in the configuration first"},
		{"fd00::/8", "blue", -EINVAL,
		 "fd00::/8 can hold no client of llm, whose address is 10.0.0.10: give an IPv4 prefix"},
		{"10.9.1.0/24", "blue", -EEXIST,
		 "10.9.1.0/24 overlaps cohort 10.9.0.0/16 (variant canary) of llm: remove that one first, or give "
		 "another "
		 "prefix"},
		{"0.0.0.0/0", "blue", -EEXIST,
		 "0.0.0.0/0 overlaps cohort 10.9.0.0/16 (variant canary) of llm: remove that one first, or give "
		 "another "
		 "prefix"},
	};
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix source = prefix(cases[i].source);
		struct refusal why = {};

		assert_int_equal(add_cohort(s, &source, cases[i].variant, true, &why), cases[i].err);
		assert_string_equal(why.text, cases[i].why);
		assert_int_equal(s->cohort_count, 1);
	}
}

static void only_the_exact_cohort_is_removed(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct prefix near = prefix("10.9.0.0/17"), far = prefix("10.1.0.0/16");
	struct refusal why = {};

	(void)state;
	assert_int_equal(service_remove_cohort(s, &near, &why), -ENOENT);
	assert_string_equal(why.text, "llm has no cohort 10.9.0.0/17; did you mean 10.9.0.0/16?");
	assert_int_equal(service_remove_cohort(s, &far, &why), -ENOENT);
	assert_string_equal(why.text, "llm has no cohort 10.1.0.0/16; it has 1, none of them near it");
	assert_int_equal(s->cohort_count, 1);
}

static struct endpoint endpoint(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

static void a_backend_is_drained_and_taken_back(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct endpoint first = endpoint("10.0.1.11:8000");

	(void)state;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(service_drain_backend(s, &first, true, NULL), 0);
		assert_true(s->variants[0].backends[0].drained);
		assert_false(s->variants[0].backends[1].drained);
	}
	for (int again = 0; again < 2; again++) {
		assert_int_equal(service_drain_backend(s, &first, false, NULL), 0);
		assert_false(s->variants[0].backends[0].drained);
	}
}

static void a_backend_of_two_variants_is_drained_in_both_or_in_the_one_asked(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct endpoint shared = endpoint("10.0.1.12:8000");

	(void)state;
	/* canary, with no weight and its cohort gone, now has the same server as blue. */
	s->variants[2].backends[0].endpoint = shared;
	s->cohort_count = 0;
	assert_int_equal(service_drain_backend(s, &shared, true, NULL), 0);
	assert_true(s->variants[0].backends[1].drained);
	assert_true(s->variants[2].backends[0].drained);
	assert_int_equal(service_drain_backend_of(s, "canary", &shared, false, NULL), 0);
	assert_true(s->variants[0].backends[1].drained);
	assert_false(s->variants[2].backends[0].drained);
}

static void a_drain_that_may_not_be_in_one_variant_changes_none(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct endpoint shared = endpoint("10.0.2.11:8000");

	(void)state;
	s->variants[0].backends[1].endpoint = shared;
	assert_int_equal(service_drain_backend(s, &shared, true, NULL), -EINVAL);
	assert_false(s->variants[0].backends[1].drained);
	assert_false(s->variants[1].backends[0].drained);
}

static void drains_that_leave_clients_with_nobody_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *backend;
		int err;
		const char *why;
	} cases[] = {
		{"10.0.1.12:8000", -EINVAL,
		 "10.0.1.12:8000 is the last backend of blue of llm that is not drained, and blue has weight 50: move "
		 "the weight to others first (`headgate weights llm`)"},
		{"10.0.2.11:8000", -EINVAL,
		 "10.0.2.11:8000 is the last backend of green of llm that is not drained, and green has weight 50: "
		 "move the weight to others first (`headgate weights llm`)"},
		{"10.0.3.11:8000", -EINVAL,
		 "10.0.3.11:8000 is the last backend of canary of llm that is not drained, and cohort 10.9.0.0/16 "
		 "goes to canary: remove the cohort first (`headgate cohort remove llm 10.9.0.0/16`)"},
		{"10.0.1.11:8001", -ENOENT,
		 "llm has no backend 10.0.1.11:8001; `headgate services llm` lists those it has"},
	};
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct endpoint first = endpoint("10.0.1.11:8000");

	(void)state;
	assert_int_equal(service_drain_backend(s, &first, true, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint backend = endpoint(cases[i].backend);
		struct refusal why = {};

		assert_int_equal(service_drain_backend(s, &backend, true, &why), cases[i].err);
		assert_string_equal(why.text, cases[i].why);
	}
	assert_false(s->variants[0].backends[1].drained);
	assert_false(s->variants[1].backends[0].drained);
	assert_false(s->variants[2].backends[0].drained);
}

static void a_variant_without_clients_is_drained_whole(void **state)
{
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct refusal why = {};

	(void)state;
	assert_int_equal(service_drain_variant(s, "blue", true, &why), -EINVAL);
	assert_string_equal(why.text, "all backends of blue would be drained, and blue has weight 50: move the weight "
				      "to others first (`headgate weights llm`)");
	assert_int_equal(service_drain_variant(s, "canary", true, &why), -EINVAL);
	assert_string_equal(why.text, "all backends of canary would be drained, and cohort 10.9.0.0/16 goes to canary: "
				      "remove the cohort first (`headgate cohort remove llm 10.9.0.0/16`)");
	assert_int_equal(service_drain_variant(s, "empty", true, &why), -EINVAL);
	assert_string_equal(why.text, "empty of llm has no backends: give it some in the configuration first");
	assert_int_equal(service_drain_variant(s, "blu", true, &why), -ENOENT);
	assert_string_equal(why.text, "unknown variant 'blu' of llm; it has blue, green, canary, empty");
	assert_false(s->variants[0].backends[0].drained);

	assert_int_equal(service_switch(s, "green", NULL), 0);
	assert_int_equal(service_drain_variant(s, "blue", true, NULL), 0);
	assert_true(s->variants[0].backends[0].drained);
	assert_true(s->variants[0].backends[1].drained);
	assert_int_equal(service_drain_variant(s, "blue", false, NULL), 0);
	assert_false(s->variants[0].backends[0].drained);
	assert_false(s->variants[0].backends[1].drained);
}

static void a_drained_variant_gets_no_clients(void **state)
{
	static const char want[] = "all backends of blue of llm are drained: take one back into service first";
	_cleanup_(model_freep) struct model *m = load();
	struct service_model *s = &m->services[0];
	struct endpoint first = endpoint("10.0.1.11:8000");
	struct prefix source = prefix("10.8.0.0/16");
	struct refusal why = {};

	(void)state;
	assert_int_equal(service_switch(s, "green", NULL), 0);
	assert_int_equal(service_drain_variant(s, "blue", true, NULL), 0);
	assert_int_equal(service_switch(s, "blue", &why), -EINVAL);
	assert_string_equal(why.text, want);
	assert_weights(s, 0, 100, 0, 0);
	why.text[0] = '\0';
	assert_int_equal(add_cohort(s, &source, "blue", true, &why), -EINVAL);
	assert_string_equal(why.text, want);
	assert_int_equal(s->cohort_count, 1);

	assert_int_equal(service_drain_backend(s, &first, false, NULL), 0);
	assert_int_equal(service_switch(s, "blue", NULL), 0);
	assert_int_equal(add_cohort(s, &source, "blue", true, NULL), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_and_variants_are_found_by_name),
		cmocka_unit_test(a_copy_shares_nothing_with_its_original),
		cmocka_unit_test(a_variant_that_is_not_named_and_has_no_weight_stays_without),
		cmocka_unit_test(weights_that_cannot_be_are_refused_with_a_reason),
		cmocka_unit_test(a_switch_gives_one_variant_everything),
		cmocka_unit_test(a_cohort_is_added_and_removed),
		cmocka_unit_test(cohorts_that_cannot_be_are_refused_with_a_reason),
		cmocka_unit_test(only_the_exact_cohort_is_removed),
		cmocka_unit_test(a_backend_is_drained_and_taken_back),
		cmocka_unit_test(a_backend_of_two_variants_is_drained_in_both_or_in_the_one_asked),
		cmocka_unit_test(a_drain_that_may_not_be_in_one_variant_changes_none),
		cmocka_unit_test(drains_that_leave_clients_with_nobody_are_refused_with_a_reason),
		cmocka_unit_test(a_variant_without_clients_is_drained_whole),
		cmocka_unit_test(a_drained_variant_gets_no_clients),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
