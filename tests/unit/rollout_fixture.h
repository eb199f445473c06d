/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_ROLLOUT_FIXTURE_H
#define HEADGATE_TEST_ROLLOUT_FIXTURE_H

/* A service, plans for it, and machines that were brought where a test wants them. To be included behind cmocka.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rollout.h"

#define MS 1000000ULL
#define SECOND (1000 * MS)

static struct backend_model backends[] = {{.weight = 1}, {.weight = 1, .drained = true}};

/* web: blue has 80 of 100, canary nothing, green 20; and a shadow that mirrors 3 %. */
static inline void make_service(struct service_model *s, struct variant_model variants[3])
{
	static const char *const names[] = {"blue", "canary", "green"};
	static const uint32_t weights[] = {80, 0, 20};

	memset(s, 0, sizeof(*s));
	strcpy(s->name, "web");
	s->variants = variants;
	s->variant_count = 3;
	for (size_t i = 0; i < 3; i++) {
		variants[i] = (struct variant_model){.weight = weights[i], .backends = backends, .backend_count = 1};
		strcpy(variants[i].name, names[i]);
	}
	s->shadow = (struct shadow_model){.present = true, .state = SHADOW_OFF, .sample = 300};
}

/* blue to canary, one metric of the data path, which is compared. */
static inline void make_plan(struct rollout_plan *plan, enum strategy strategy)
{
	memset(plan, 0, sizeof(*plan));
	plan->strategy = strategy;
	strcpy(plan->stable, "blue");
	if (strategy == STRATEGY_CANARY || strategy == STRATEGY_BLUE_GREEN)
		strcpy(plan->candidate, "canary");
	plan->analysis = (struct analysis_plan){
		.interval_ms = 1000, .min_samples = 100, .failure_limit = 2, .alpha = 0.01, .metric_count = 1};
	plan->analysis.metrics[0] = (struct metric_plan){
		.name = "error-rate", .source = SOURCE_DATAPLANE, .compare = true, .tolerance = 1.25};
}

static inline void add_step(struct rollout_plan *plan, enum step_kind kind, uint32_t share, uint64_t duration_ms)
{
	plan->steps[plan->step_count++] = (struct step_plan){.kind = kind, .share = share, .duration_ms = duration_ms};
}

static inline void add_hook(struct rollout_plan *plan, bool after)
{
	plan->hooks[plan->hook_count++] = (struct hook_plan){.after = after, .url = "http://10.1.1.3/gate"};
}

static inline void add_arm(struct rollout_plan *plan, const char *variant, uint32_t share)
{
	strcpy(plan->arms[plan->arm_count].variant, variant);
	plan->arms[plan->arm_count++].share = share;
}

static inline void begin(const struct rollout_plan *plan, struct rollout *ret)
{
	struct variant_model variants[3];
	struct service_model service;
	struct refusal why;

	make_service(&service, variants);
	assert_int_equal(rollout_begin(plan, &service, 1000 * SECOND, ret, &why), 0);
}

/* Nothing happens, and what is wanted is in force. */
static inline struct rollout_facts quiet(const struct rollout *r)
{
	return (struct rollout_facts){.now_ns = r->now_ns, .in_force = true, .winner = -1, .who = "uid 7"};
}

static inline int advance(const struct rollout_plan *plan, struct rollout *r, const struct rollout_facts *facts)
{
	struct refusal why;

	return rollout_advance(plan, facts, r, &why);
}

static inline int command(const struct rollout_plan *plan, struct rollout *r, enum rollout_command c)
{
	struct rollout_facts facts = quiet(r);

	facts.command = c;
	return advance(plan, r, &facts);
}

static inline int verdict(const struct rollout_plan *plan, struct rollout *r, enum judged judged, bool proven)
{
	struct rollout_facts facts = quiet(r);

	facts.verdict = judged;
	facts.proven = proven;
	strcpy(facts.why, "error-rate 3% of 500");
	return advance(plan, r, &facts);
}

static inline int hook(const struct rollout_plan *plan, struct rollout *r, enum hook_answer answer)
{
	struct rollout_facts facts = quiet(r);

	facts.hook = answer;
	strcpy(facts.hook_why, "not now");
	return advance(plan, r, &facts);
}

/* So much time in steps of a second; the last call's return. */
static inline int pass_time(const struct rollout_plan *plan, struct rollout *r, uint64_t ms)
{
	int rc = 0;

	for (uint64_t step; ms; ms -= step) {
		struct rollout_facts facts = quiet(r);

		step = ms < 1000 ? ms : 1000;
		facts.now_ns += step * MS;
		rc = advance(plan, r, &facts);
	}
	return rc;
}

/* "Progressing 1 before": where a rollout is, steps counted from 0. */
static inline const char *place(const struct rollout *r, char text[64])
{
	static const char *const phases[] = {"before", "running", "after"};

	snprintf(text, 64, "%s %u %s", name_of_rollout_state(r->state), r->step, phases[r->phase]);
	return text;
}

#define assert_place(r, wanted)                                                                                        \
	do {                                                                                                           \
		char _text[64];                                                                                        \
		assert_string_equal(place(r, _text), wanted);                                                          \
	} while (0)

static inline uint32_t weight_of(const struct rollout_wanted *w, const char *variant)
{
	for (size_t i = 0; i < w->weight_count; i++)
		if (!strcmp(w->weights[i].variant, variant))
			return w->weights[i].weight;
	fail_msg("%s has no weight", variant);
	return 0;
}

#endif
