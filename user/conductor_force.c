// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What rollouts want of the model, and whether it is in force. */
#include <errno.h>
#include <string.h>

#include "backends.h"
#include "conductor_parts.h"
#include "log.h"
#include "measure.h"

struct service_model *conducted_service(const struct conducted *one)
{
	return model_find_service(one->conductor->daemon->splitter->model, one->record.rollout.service);
}

/* --- wanted and in force --- */

/* A variant that the rollout does not know came with a reload, and gets nothing. */
static uint32_t wanted_weight(const struct rollout_wanted *wanted, const char *variant)
{
	for (size_t i = 0; i < wanted->weight_count; i++)
		if (!strcmp(wanted->weights[i].variant, variant))
			return wanted->weights[i].weight;
	return 0;
}

static bool weights_are(const struct service_model *s, const struct rollout_wanted *wanted)
{
	if (!wanted->weight_count)
		return true;
	for (size_t v = 0; v < s->variant_count; v++)
		if (s->variants[v].weight != wanted_weight(wanted, s->variants[v].name))
			return false;
	return true;
}

/* One that is wanted on and was paused by the daemon stays so: what it was paused for is the rollout's to judge. */
static bool shadow_is(const struct service_model *s, const struct rollout_wanted *wanted)
{
	const struct shadow_model *shadow = &s->shadow;

	if (!wanted->shadow)
		return true;
	if (!shadow->present || shadow->sample != wanted->sample)
		return false;
	return shadow->state == wanted->shadow_state ||
	       (wanted->shadow_state == SHADOW_ON && shadow->state == SHADOW_PAUSED);
}

static int set_weights(struct service_model *s, const struct rollout_wanted *wanted, struct refusal *why)
{
	struct weight weights[VARIANTS_MAX];

	if (weights_are(s, wanted))
		return 0;
	for (size_t v = 0; v < s->variant_count; v++) {
		memcpy(weights[v].variant, s->variants[v].name, NAME_SIZE);
		weights[v].weight = wanted_weight(wanted, s->variants[v].name);
	}
	return service_set_weights(s, weights, s->variant_count, why);
}

static int set_shadow(struct service_model *s, const struct rollout_wanted *wanted, struct refusal *why)
{
	int error;

	if (shadow_is(s, wanted))
		return 0;
	error = service_set_shadow_sample(s, wanted->sample, why);
	if (error)
		return error;
	switch (wanted->shadow_state) {
	case SHADOW_ON:
		return s->shadow.state == SHADOW_OFF ? service_set_shadow(s, true, why) : 0;
	case SHADOW_OFF:
		return service_set_shadow(s, false, why);
	default:
		return s->shadow.state == SHADOW_ON ? service_pause_shadow(s, "it was paused before the rollout", why)
						    : 0;
	}
}

static int set_wanted(struct service_model *s, const struct rollout_wanted *wanted, struct refusal *why)
{
	int error = set_weights(s, wanted, why);

	s->rollback = wanted->rollback;
	return error ? error : set_shadow(s, wanted, why);
}

bool conducted_in_force(const struct conducted *one)
{
	const struct service_model *s = conducted_service(one);
	struct rollout_wanted wanted;

	rollout_wanted(&one->record.plan, &one->record.rollout, &wanted);
	return s && weights_are(s, &wanted) && shadow_is(s, &wanted) && !one->conductor->daemon->unsaved;
}

int conducted_bring_into_force(struct conducted *one)
{
	struct daemon *d = one->conductor->daemon;
	const char *service = one->record.rollout.service;
	struct rollout_wanted wanted;
	struct service_model *s;
	struct refusal why = {};
	struct model *copy;
	int error;

	if (conducted_in_force(one))
		return 0;
	if (d->unsaved && !daemon_remember(d) && conducted_in_force(one))
		return 0;
	rollout_wanted(&one->record.plan, &one->record.rollout, &wanted);
	error = model_copy(d->splitter->model, &copy);
	if (error) {
		conducted_trouble(one, "what it wants is not in force: out of memory; trying again");
		return error;
	}
	s = model_find_service(copy, service);
	error = s ? set_wanted(s, &wanted, &why) : refuse(&why, ENOENT, "there is no service %s any more", service);
	if (error)
		model_free(copy);
	else
		error = daemon_change_decided(d, copy, &why);
	if (error)
		conducted_trouble(one, "what it wants is not in force: %s; trying again", why.text);
	return error;
}

/* --- a model that is about to be in force --- */

static bool measures_connections(const struct analysis_plan *a)
{
	for (size_t i = 0; i < a->metric_count; i++)
		if (a->metrics[i].source == SOURCE_DATAPLANE)
			return true;
	return false;
}

/* Whether a model has what a rollout that is going on needs: until its end, and to go back. */
static int check_needs(const struct conducted *one, const struct service_model *s, struct refusal *why)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct rollout *r = &one->record.rollout;
	struct parties parties = parties_of(plan);
	struct rollout_wanted wanted;

	rollout_wanted(plan, r, &wanted);
	for (size_t i = 0; i < parties.count; i++) {
		int v = service_find_variant(s, parties.name[i]);

		if (v < 0 || !s->variants[v].backend_count)
			return refuse(why, EINVAL, "%s has no variant %s with backends", s->name, parties.name[i]);
	}
	for (size_t i = 0; i < r->before_count; i++)
		if ((r->before[i].weight || wanted_weight(&wanted, r->before[i].variant)) &&
		    service_find_variant(s, r->before[i].variant) < 0)
			return refuse(why, EINVAL, "%s has no variant %s, which had weight when it began", s->name,
				      r->before[i].variant);
	if (wanted.shadow && !s->shadow.present)
		return refuse(why, EINVAL, "%s has no shadow", s->name);
	if (measures_connections(&plan->analysis) && !available_for(s->forward, s->protocol).connections)
		return refuse(why, EINVAL, "%s has no measurements of connections with this mode and protocol",
			      s->name);
	return 0;
}

static int adjust(const struct conducted *one, struct model *model, struct refusal *why)
{
	const char *service = one->record.rollout.service;
	struct service_model *s = model_find_service(model, service);
	struct rollout_wanted wanted;
	int error;

	if (!s)
		return refuse(why, EINVAL, "there is no service %s", service);
	error = check_needs(one, s, why);
	if (error)
		return error;
	rollout_wanted(&one->record.plan, &one->record.rollout, &wanted);
	return set_wanted(s, &wanted, why);
}

/* What was before a rollout, as far as a model still has it. 0 or -errno, with weights as they are. */
static int go_back(const struct conducted *one, struct service_model *s)
{
	struct rollout_wanted before;

	if (!s)
		return -ENOENT;
	rollout_wanted(&one->record.plan, &one->record.rollout, &before);
	before.shadow &= s->shadow.present;
	return set_wanted(s, &before, NULL);
}

/* The configuration was changed while no daemon was there that could have refused it. */
static void end_for_want(struct conducted *one, struct model *model, const struct refusal *why)
{
	const struct actor daemon_itself = {.daemon = true};
	struct rollout *r = &one->record.rollout;
	int error;

	one->before = *r;
	r->state = ROLLOUT_FAILED;
	r->frozen = go_back(one, model_find_service(model, r->service));
	r->transitions++;
	snprintf(r->cause, sizeof(r->cause),
		 "the configuration has no longer what it needs: %.300s; weights are as %s it", why->text,
		 r->frozen ? "without" : "before");
	error = journal_transition(one->conductor->journal, &one->record, one->before.state, one->before.step,
				   &daemon_itself);
	conducted_tell_transition(one, &daemon_itself);
	if (error)
		log_error("the journal %s cannot be written: %s", one->conductor->path, strerror(-error));
}

int conductor_adjust(struct conductor *c, struct model *model, struct refusal *why)
{
	for (struct conducted *one = c->first; one; one = one->next) {
		const struct rollout *r = &one->record.rollout;
		struct refusal lacks = {};

		if (rollout_is_over(r->state) || !adjust(one, model, &lacks))
			continue;
		if (c->begun)
			return refuse(why, EINVAL,
				      "the rollout of %s that is going on needs what would be gone: %.200s; `headgate "
				      "rollout abort %s` ends it",
				      r->service, lacks.text, r->service);
		end_for_want(one, model, &lacks);
	}
	return 0;
}

int conductor_allows(struct conductor *c, const char *service, struct refusal *why)
{
	const struct conducted *one = conductor_going_on(c, service);

	if (!one)
		return 0;
	return refuse(why, EBUSY,
		      "a rollout of %s is going on (%s, step %u of %zu): `headgate rollout rollback %s` or `headgate "
		      "rollout abort %s` ends it, `headgate rollout promote %s` takes it further",
		      service, name_of_rollout_state(one->record.rollout.state), one->record.rollout.step + 1,
		      one->record.plan.step_count, service, service, service);
}

/* --- health --- */

static bool backend_is_healthy(const struct daemon *d, const struct service_model *s, const char *variant,
			       const struct backend_model *b)
{
	struct backend_identity who = backends_identity(s, variant, &b->endpoint);
	uint32_t id = backends_find(d->splitter, &who);
	const char *reason;
	const struct health *health = id ? patrol_health(d->patrol, id, &reason) : NULL;
	enum health_state state = health ? health->state : HEALTH_UNKNOWN;

	return state == HEALTH_UP || (state == HEALTH_UNKNOWN && s->health.check == HEALTH_NONE);
}

const char *conducted_lacks_health(const struct conducted *one)
{
	const struct service_model *s = conducted_service(one);
	int v = s ? service_find_variant(s, one->record.plan.candidate) : -1;
	bool any = false;

	if (v < 0)
		return "to be there";
	for (size_t b = 0; b < s->variants[v].backend_count; b++) {
		const struct backend_model *backend = &s->variants[v].backends[b];

		if (backend->drained)
			continue;
		if (!backend_is_healthy(one->conductor->daemon, s, s->variants[v].name, backend))
			return "to be healthy";
		any = true;
	}
	return any ? NULL : "to be taken back into service, as all of them are drained";
}
