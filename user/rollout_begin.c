// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The beginning of a rollout: whether the service has what its plan needs, and what it will go back to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rollout_parts.h"

static int check_variant(const struct service_model *s, const char *name, struct refusal *why)
{
	int index = service_find_variant(s, name);

	if (index < 0)
		return refuse(why, ENOENT, "%s has no variant %s, which the plan of its rollout names", s->name, name);
	for (size_t i = 0; i < s->variants[index].backend_count; i++)
		if (!s->variants[index].backends[i].drained)
			return 0;
	return refuse(why, EINVAL,
		      "%s of %s has no backend that takes connections: add one, or take one back into service", name,
		      s->name);
}

static int check_pair(const struct rollout_plan *plan, const struct service_model *s, struct refusal *why)
{
	int err = check_variant(s, plan->stable, why);

	if (!err)
		err = check_variant(s, plan->candidate, why);
	if (err)
		return err;
	if (!s->variants[service_find_variant(s, plan->stable)].weight)
		return refuse(why, EINVAL,
			      "%s, which the plan calls stable, has no traffic of %s: name the variant that has it, or "
			      "give it some first (`headgate weights %s`)",
			      plan->stable, s->name, s->name);
	return 0;
}

static int check_arms(const struct rollout_plan *plan, const struct service_model *s, struct refusal *why)
{
	uint64_t together = 0;

	for (size_t i = 0; i < plan->arm_count; i++) {
		int err = check_variant(s, plan->arms[i].variant, why);

		if (err)
			return err;
		together += s->variants[service_find_variant(s, plan->arms[i].variant)].weight;
	}
	if (!together)
		return refuse(why, EINVAL, "no arm has any traffic of %s: give one some first (`headgate weights %s`)",
			      s->name, s->name);
	return 0;
}

static int check_shadow(const struct rollout_plan *plan, const struct service_model *s, struct refusal *why)
{
	for (size_t i = 0; i < plan->step_count; i++)
		if (plan->steps[i].kind == STEP_SHADOW && !s->shadow.present)
			return refuse(
				why, EINVAL,
				"step %zu mirrors to the shadow, and %s has none: configure it, or leave the step "
				"out",
				i + 1, s->name);
	return 0;
}

static int check_needs(const struct rollout_plan *plan, const struct service_model *s, struct refusal *why)
{
	int err = check_shadow(plan, s, why);

	if (err || plan->strategy == STRATEGY_SHADOW)
		return err;
	return plan->strategy == STRATEGY_AB_TEST ? check_arms(plan, s, why) : check_pair(plan, s, why);
}

static void describe(const struct rollout_plan *plan, struct rollout *r)
{
	int length =
		snprintf(r->cause, sizeof(r->cause), "%s of %s begins", name_of_strategy(plan->strategy), r->service);

	if (plan->strategy == STRATEGY_CANARY || plan->strategy == STRATEGY_BLUE_GREEN)
		length += snprintf(r->cause + length, sizeof(r->cause) - length, ", from %s to %s", plan->stable,
				   plan->candidate);
	snprintf(r->cause + length, sizeof(r->cause) - length, ", %zu step%s", plan->step_count,
		 plan->step_count == 1 ? "" : "s");
}

int rollout_begin(const struct rollout_plan *plan, const struct service_model *s, uint64_t now_ns, struct rollout *ret,
		  struct refusal *why)
{
	int err = check_needs(plan, s, why);

	if (err)
		return err;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->service, s->name, NAME_SIZE);
	ret->state = ROLLOUT_INITIALIZED;
	ret->now_ns = ret->began_ns = now_ns;
	ret->winner = -1;
	ret->before_count = s->variant_count;
	for (size_t i = 0; i < s->variant_count; i++) {
		memcpy(ret->before[i].variant, s->variants[i].name, NAME_SIZE);
		ret->before[i].weight = s->variants[i].weight;
	}
	ret->shadow_before = s->shadow.present ? s->shadow.state : SHADOW_OFF;
	ret->sample_before = s->shadow.sample;
	describe(plan, ret);
	return 0;
}
