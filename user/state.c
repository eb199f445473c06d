// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Decisions to JSON; state_merge.c brings them back. */
#include "state.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "state_file.h"

/* Variants that only one of the two has count as weight 0 in the other. */
static bool weights_differ(const struct service_model *a, const struct service_model *b)
{
	for (size_t i = 0; i < a->variant_count; i++) {
		int other = service_find_variant(b, a->variants[i].name);

		if (a->variants[i].weight != (other < 0 ? 0 : b->variants[other].weight))
			return true;
	}
	return false;
}

static bool has_cohort(const struct service_model *s, const struct cohort_model *wanted)
{
	const struct cohort_model *c = service_find_cohort(s, &wanted->source);

	return c && !strcmp(c->variant, wanted->variant) && !strcmp(c->owner, wanted->owner) &&
	       !strcmp(c->note, wanted->note) && c->expires_s == wanted->expires_s;
}

/* The functions below return 0 or -ENOMEM; jansson fails for nothing else here. */

static int put_weights(json_t *object, const char *key, const struct service_model *s)
{
	json_t *weights = json_object();

	if (json_object_set_new(object, key, weights))
		return -ENOMEM;
	for (size_t i = 0; i < s->variant_count; i++) {
		if (json_object_set_new(weights, s->variants[i].name, json_integer(s->variants[i].weight)))
			return -ENOMEM;
	}
	return 0;
}

static int put_cohort(json_t *list, const struct cohort_model *c, const char *decision)
{
	char source[ADDRESS_TEXT_SIZE];
	json_t *cohort = json_pack("{s:s, s:s, s:b}", "source", prefix_format(&c->source, source), "variant",
				   c->variant, decision, 1);

	if (json_array_append_new(list, cohort) ||
	    (c->owner[0] && json_object_set_new(cohort, "owner", json_string(c->owner))) ||
	    (c->note[0] && json_object_set_new(cohort, "note", json_string(c->note))) ||
	    (c->expires_s && json_object_set_new(cohort, "expires", json_integer(c->expires_s))))
		return -ENOMEM;
	return 0;
}

/* Cohorts of @from that @other has not; @decision is what made the difference. */
static int put_cohorts(json_t *list, const struct service_model *from, const struct service_model *other,
		       const char *decision)
{
	for (size_t i = 0; i < from->cohort_count; i++)
		if (!has_cohort(other, &from->cohorts[i]) && put_cohort(list, &from->cohorts[i], decision))
			return -ENOMEM;
	return 0;
}

/* Nothing but a command drains a backend, so that the file has nothing to compare with. */
static int put_drained(json_t *list, const struct variant_model *v)
{
	char backend[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < v->backend_count; i++) {
		const struct backend_model *b = &v->backends[i];

		if (!b->drained)
			continue;
		endpoint_format(&b->endpoint.address, b->endpoint.port, backend);
		if (json_array_append_new(list, json_pack("{s:s, s:s}", "variant", v->name, "backend", backend)))
			return -ENOMEM;
	}
	return 0;
}

/* A sample set by command is one that differs from the file's; nothing but a command, or the daemon, turns one off. */
static int put_shadow(json_t *service, const struct shadow_model *configured, const struct shadow_model *running)
{
	_cleanup_(json_decrefp) json_t *shadow = json_object();

	if (!configured->present || !running->present)
		return 0;
	if (configured->sample != running->sample &&
	    json_object_set_new(shadow, "sample",
				json_pack("{s:i, s:i}", "configured", (int)configured->sample, "running",
					  (int)running->sample)))
		return -ENOMEM;
	if (running->state != SHADOW_ON &&
	    (json_object_set_new(shadow, "state", json_string(name_of_shadow_state(running->state))) ||
	     json_object_set_new(shadow, "reason", json_string(running->reason))))
		return -ENOMEM;
	return !shadow || (json_object_size(shadow) && json_object_set(service, "shadow", shadow)) ? -ENOMEM : 0;
}

static int put_service(json_t *services, const struct service_model *configured, const struct service_model *running)
{
	_cleanup_(json_decrefp) json_t *service = json_object();
	_cleanup_(json_decrefp) json_t *cohorts = json_array();
	_cleanup_(json_decrefp) json_t *drained = json_array();

	if (!service || !cohorts || !drained)
		return -ENOMEM;
	if (weights_differ(configured, running) || weights_differ(running, configured)) {
		json_t *weights = json_object();

		if (json_object_set_new(service, "weights", weights) ||
		    put_weights(weights, "configured", configured) || put_weights(weights, "running", running))
			return -ENOMEM;
	}
	if (put_cohorts(cohorts, configured, running, "removed") || put_cohorts(cohorts, running, configured, "added"))
		return -ENOMEM;
	if (json_array_size(cohorts) && json_object_set(service, "cohorts", cohorts))
		return -ENOMEM;
	for (size_t i = 0; i < running->variant_count; i++) {
		if (put_drained(drained, &running->variants[i]))
			return -ENOMEM;
	}
	if (json_array_size(drained) && json_object_set(service, "drained", drained))
		return -ENOMEM;
	if (put_shadow(service, &configured->shadow, &running->shadow))
		return -ENOMEM;
	if (json_object_size(service) && json_object_set(services, running->name, service))
		return -ENOMEM;
	return 0;
}

int state_save(const char *path, const struct model *configured, const struct model *running)
{
	_cleanup_(json_decrefp) json_t *state = json_object();
	json_t *services = json_object();

	if (json_object_set_new(state, "format", json_integer(STATE_FORMAT)) ||
	    json_object_set_new(state, "services", services))
		return -ENOMEM;
	for (size_t i = 0; i < running->service_count; i++) {
		const struct service_model *now = &running->services[i];
		const struct service_model *was = model_find_service((struct model *)configured, now->name);

		if (was && put_service(services, was, now))
			return -ENOMEM;
	}
	return state_file_write(path, state);
}
