// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model.h"

#include <errno.h>
#include <string.h>

#define SWITCHED_WEIGHT 100 /* what one variant alone gets; any number but 0 means the same */

static void service_release(struct service_model *s)
{
	for (size_t i = 0; i < s->variant_count; i++)
		free(s->variants[i].backends);
	free(s->variants);
	free(s->cohorts);
	free(s->rollout);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->service_count; i++)
		service_release(&m->services[i]);
	free(m->services);
	free(m->interfaces);
	free(m);
}

/* Copies an array; NULL stays NULL for an empty one. */
static int copy_array(const void *from, size_t count, size_t size, void *ret)
{
	void *copy = NULL;

	if (count) {
		copy = calloc(count, size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, from, count * size);
	}
	*(void **)ret = copy;
	return 0;
}

/* @to is a shallow copy of @from whose pointers are NULL and counts 0. */
static int copy_service_arrays(const struct service_model *from, struct service_model *to)
{
	if (copy_array(from->cohorts, from->cohort_count, sizeof(*to->cohorts), &to->cohorts))
		return -ENOMEM;
	to->cohort_count = from->cohort_count;
	if (copy_array(from->rollout, !!from->rollout, sizeof(*to->rollout), &to->rollout))
		return -ENOMEM;
	if (copy_array(from->variants, from->variant_count, sizeof(*to->variants), &to->variants))
		return -ENOMEM;
	for (size_t i = 0; i < from->variant_count; i++) {
		const struct variant_model *v = &from->variants[i];

		if (copy_array(v->backends, v->backend_count, sizeof(*v->backends), &to->variants[i].backends))
			return -ENOMEM;
		to->variant_count = i + 1; /* only what is copied is freed */
	}
	return 0;
}

int model_copy(const struct model *m, struct model **ret)
{
	_cleanup_(model_freep) struct model *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *m;
	copy->interfaces = NULL;
	copy->services = NULL;
	copy->service_count = 0;
	if (copy_array(m->interfaces, m->interface_count, sizeof(*m->interfaces), &copy->interfaces) ||
	    copy_array(m->services, m->service_count, sizeof(*m->services), &copy->services))
		return -ENOMEM;
	for (size_t i = 0; i < m->service_count; i++) {
		struct service_model *s = &copy->services[i];

		s->variants = NULL;
		s->variant_count = 0;
		s->cohorts = NULL;
		s->rollout = NULL;
		s->cohort_count = 0;
		copy->service_count = i + 1;
		if (copy_service_arrays(&m->services[i], s))
			return -ENOMEM;
	}
	*ret = TAKE_PTR(copy);
	return 0;
}

bool model_has_shadow(const struct model *m)
{
	for (size_t i = 0; i < m->service_count; i++)
		if (m->services[i].shadow.present)
			return true;
	return false;
}

struct service_model *model_find_service(struct model *m, const char *name)
{
	for (size_t i = 0; i < m->service_count; i++) {
		if (!strcmp(m->services[i].name, name))
			return &m->services[i];
	}
	return NULL;
}

int service_find_variant(const struct service_model *s, const char *name)
{
	for (size_t i = 0; i < s->variant_count; i++) {
		if (!strcmp(s->variants[i].name, name))
			return i;
	}
	return -1;
}

const char *service_variant_names(const struct service_model *s, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < s->variant_count && length < size; i++)
		length += snprintf(text + length, size - length, "%s%s", i ? ", " : "", s->variants[i].name);
	return text;
}

static int refuse_unknown_variant(const struct service_model *s, const char *variant, struct refusal *why)
{
	char names[256];

	return refuse(why, ENOENT, "unknown variant '%s' of %s; it has %s", variant, s->name,
		      service_variant_names(s, names, sizeof(names)));
}

static int refuse_empty_variant(const struct service_model *s, const char *variant, struct refusal *why)
{
	return refuse(why, EINVAL, "%s of %s has no backends: give it some in the configuration first", variant,
		      s->name);
}

/* Whether a variant has backends that new connections can go to. */
static int check_backends(const struct service_model *s, const struct variant_model *v, struct refusal *why)
{
	if (!v->backend_count)
		return refuse_empty_variant(s, v->name, why);
	for (size_t i = 0; i < v->backend_count; i++) {
		if (!v->backends[i].drained)
			return 0;
	}
	return refuse(why, EINVAL, "all backends of %s of %s are drained: take one back into service first", v->name,
		      s->name);
}

/* Puts the named weights in the order of the service's variants; those not named are -1. */
static int weights_by_variant(const struct service_model *s, const struct weight *weights, size_t count,
			      int64_t by_variant[VARIANTS_MAX], struct refusal *why)
{
	for (size_t i = 0; i < VARIANTS_MAX; i++)
		by_variant[i] = -1;
	for (size_t i = 0; i < count; i++) {
		const struct weight *w = &weights[i];
		int variant = service_find_variant(s, w->variant);
		int err;

		if (variant < 0)
			return refuse_unknown_variant(s, w->variant, why);
		if (by_variant[variant] >= 0)
			return refuse(why, EINVAL, "%s is named twice: give it one weight", w->variant);
		if (w->weight > WEIGHT_MAX)
			return refuse(why, EINVAL, "%s=%u is too much: a weight is a whole number from 0 to %u",
				      w->variant, w->weight, WEIGHT_MAX);
		err = w->weight ? check_backends(s, &s->variants[variant], why) : 0;
		if (err)
			return err;
		by_variant[variant] = w->weight;
	}
	return 0;
}

int service_set_weights(struct service_model *s, const struct weight *weights, size_t count, struct refusal *why)
{
	int64_t by_variant[VARIANTS_MAX];
	char names[256];
	int64_t sum = 0;
	int err;

	err = weights_by_variant(s, weights, count, by_variant, why);
	if (err)
		return err;
	for (size_t i = 0; i < s->variant_count; i++) {
		const struct variant_model *v = &s->variants[i];

		if (by_variant[i] >= 0)
			sum += by_variant[i];
		else if (v->weight)
			return refuse(why, EINVAL,
				      "%s has weight %u and is not named: say %s=%u to keep it or %s=0 to take it away",
				      v->name, v->weight, v->name, v->weight, v->name);
	}
	if (!sum)
		return refuse(why, EINVAL, "all weights of %s would be 0: give at least one of %s a weight above 0",
			      s->name, service_variant_names(s, names, sizeof(names)));
	for (size_t i = 0; i < s->variant_count; i++)
		s->variants[i].weight = by_variant[i] > 0 ? by_variant[i] : 0;
	return 0;
}

int service_switch(struct service_model *s, const char *variant, struct refusal *why)
{
	struct weight weights[VARIANTS_MAX];
	int to = service_find_variant(s, variant);

	if (to < 0)
		return refuse_unknown_variant(s, variant, why);
	for (size_t i = 0; i < s->variant_count; i++) {
		memcpy(weights[i].variant, s->variants[i].name, NAME_SIZE);
		weights[i].weight = (int)i == to ? SWITCHED_WEIGHT : 0;
	}
	return service_set_weights(s, weights, s->variant_count, why);
}

/* What speaks against a cohort, but for memory. */
static int check_cohort(const struct service_model *s, const struct prefix *source, const char *variant,
			struct refusal *why)
{
	char asked[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];
	bool ipv4 = address_is_ipv4(&s->vip.address);
	int index = service_find_variant(s, variant);
	int err;

	if (index < 0)
		return refuse_unknown_variant(s, variant, why);
	err = check_backends(s, &s->variants[index], why);
	if (err)
		return err;
	prefix_format(source, asked);
	if (address_is_ipv4(&source->address) != ipv4)
		return refuse(why, EINVAL, "%s can hold no client of %s, whose address is %s: give an %s prefix", asked,
			      s->name, address_format(&s->vip.address, other), ipv4 ? "IPv4" : "IPv6");
	for (size_t i = 0; i < s->cohort_count; i++) {
		const struct cohort_model *c = &s->cohorts[i];

		if (prefix_overlaps(&c->source, source))
			return refuse(why, EEXIST,
				      "%s overlaps cohort %s (variant %s) of %s: remove that one first, or give "
				      "another prefix",
				      asked, prefix_format(&c->source, other), c->variant, s->name);
	}
	return 0;
}

const struct cohort_model *service_find_cohort(const struct service_model *s, const struct prefix *source)
{
	for (size_t i = 0; i < s->cohort_count; i++)
		if (prefix_equal(&s->cohorts[i].source, source))
			return &s->cohorts[i];
	return NULL;
}

int service_add_cohort(struct service_model *s, const struct cohort_model *wanted, struct refusal *why)
{
	const struct cohort_model *same = service_find_cohort(s, &wanted->source);
	struct cohort_model *cohorts;
	int err;

	if (same && !strcmp(same->variant, wanted->variant)) {
		memcpy(&s->cohorts[same - s->cohorts], wanted, sizeof(*wanted));
		return 0;
	}
	err = check_cohort(s, &wanted->source, wanted->variant, why);
	if (err)
		return err;
	cohorts = reallocarray(s->cohorts, s->cohort_count + 1, sizeof(*cohorts));
	if (!cohorts)
		return refuse(why, ENOMEM, "out of memory");
	s->cohorts = cohorts;
	memcpy(&cohorts[s->cohort_count++], wanted, sizeof(*wanted));
	return 0;
}

int service_remove_cohort(struct service_model *s, const struct prefix *source, struct refusal *why)
{
	char asked[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];
	const struct cohort_model *near = NULL;

	for (size_t i = 0; i < s->cohort_count; i++) {
		struct cohort_model *c = &s->cohorts[i];

		if (prefix_equal(&c->source, source)) {
			memmove(c, c + 1, (s->cohort_count - i - 1) * sizeof(*c));
			s->cohort_count--;
			return 0;
		}
		if (prefix_overlaps(&c->source, source))
			near = c;
	}
	prefix_format(source, asked);
	if (near)
		return refuse(why, ENOENT, "%s has no cohort %s; did you mean %s?", s->name, asked,
			      prefix_format(&near->source, other));
	return refuse(why, ENOENT, "%s has no cohort %s; it has %zu, none of them near it", s->name, asked,
		      s->cohort_count);
}

static struct backend_model *find_backend(const struct variant_model *v, const struct endpoint *e)
{
	for (size_t i = 0; i < v->backend_count; i++) {
		struct backend_model *b = &v->backends[i];

		if (address_equal(&b->endpoint.address, &e->address) && b->endpoint.port == e->port)
			return b;
	}
	return NULL;
}

/* Whether new connections need any of a variant's backends; @leaving is what people are told would leave. */
static int check_use(const struct service_model *s, const struct variant_model *v, const char *leaving,
		     struct refusal *why)
{
	char source[ADDRESS_TEXT_SIZE];

	if (v->weight)
		return refuse(why, EINVAL,
			      "%s and %s has weight %u: move the weight to others first (`headgate weights %s`)",
			      leaving, v->name, v->weight, s->name);
	for (size_t i = 0; i < s->cohort_count; i++) {
		const struct cohort_model *c = &s->cohorts[i];

		if (!strcmp(c->variant, v->name))
			return refuse(why, EINVAL,
				      "%s and cohort %s goes to %s: remove the cohort first (`headgate cohort "
				      "remove %s %s`)",
				      leaving, prefix_format(&c->source, source), v->name, s->name, source);
	}
	return 0;
}

/* Whether a variant can do without one of its backends. */
static int check_last(const struct service_model *s, const struct variant_model *v, const struct backend_model *b,
		      struct refusal *why)
{
	char text[ADDRESS_TEXT_SIZE], leaving[2 * NAME_SIZE + ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < v->backend_count; i++) {
		if (&v->backends[i] != b && !v->backends[i].drained)
			return 0;
	}
	snprintf(leaving, sizeof(leaving), "%s is the last backend of %s of %s that is not drained,",
		 endpoint_format(&b->endpoint.address, b->endpoint.port, text), v->name, s->name);
	return check_use(s, v, leaving, why);
}

static int refuse_unknown_backend(const struct service_model *s, const char *variant, const struct endpoint *e,
				  struct refusal *why)
{
	char text[ADDRESS_TEXT_SIZE];

	endpoint_format(&e->address, e->port, text);
	if (variant)
		return refuse(why, ENOENT, "%s of %s has no backend %s", variant, s->name, text);
	return refuse(why, ENOENT, "%s has no backend %s; `headgate services %s` lists those it has", s->name, text,
		      s->name);
}

/* @variant: NULL for all. */
static int drain_backend(struct service_model *s, const char *variant, const struct endpoint *e, bool drained,
			 struct refusal *why)
{
	struct backend_model *found[VARIANTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < s->variant_count; i++) {
		const struct variant_model *v = &s->variants[i];
		struct backend_model *b = find_backend(v, e);
		int err;

		if (!b || (variant && strcmp(v->name, variant)))
			continue;
		err = drained && !b->drained ? check_last(s, v, b, why) : 0;
		if (err)
			return err;
		found[count++] = b;
	}
	if (!count)
		return refuse_unknown_backend(s, variant, e, why);
	while (count--)
		found[count]->drained = drained;
	return 0;
}

int service_drain_backend(struct service_model *s, const struct endpoint *backend, bool drained, struct refusal *why)
{
	return drain_backend(s, NULL, backend, drained, why);
}

int service_drain_backend_of(struct service_model *s, const char *variant, const struct endpoint *backend, bool drained,
			     struct refusal *why)
{
	return drain_backend(s, variant, backend, drained, why);
}

int service_drain_variant(struct service_model *s, const char *variant, bool drained, struct refusal *why)
{
	int index = service_find_variant(s, variant);
	char leaving[NAME_SIZE + 64];
	struct variant_model *v;
	int err;

	if (index < 0)
		return refuse_unknown_variant(s, variant, why);
	v = &s->variants[index];
	if (!v->backend_count)
		return refuse_empty_variant(s, variant, why);
	snprintf(leaving, sizeof(leaving), "all backends of %s would be drained,", v->name);
	err = drained ? check_use(s, v, leaving, why) : 0;
	if (err)
		return err;
	for (size_t i = 0; i < v->backend_count; i++)
		v->backends[i].drained = drained;
	return 0;
}

/* --- shadow --- */

static int check_shadow(const struct service_model *s, struct refusal *why)
{
	if (s->shadow.present)
		return 0;
	return refuse(why, ENOENT,
		      "%s has no shadow: write shadow: {backends: [ADDRESS:PORT], sample: 10} for it in the "
		      "configuration, then `headgate reload`",
		      s->name);
}

static bool mirrors_by_rule(const struct shadow_model *shadow)
{
	for (size_t i = 0; i < shadow->rule_count; i++)
		if (shadow->rules[i].rule == SHADOW_ALWAYS)
			return true;
	return false;
}

int service_set_shadow(struct service_model *s, bool on, struct refusal *why)
{
	int err = check_shadow(s, why);

	if (err)
		return err;
	if (on && !s->shadow.sample && !mirrors_by_rule(&s->shadow))
		return refuse(why, EINVAL,
			      "the sample of %s's shadow is 0, so that nothing would be mirrored: say how many percent "
			      "first, as `headgate shadow %s sample 10`",
			      s->name, s->name);
	s->shadow.state = on ? SHADOW_ON : SHADOW_OFF;
	memset(s->shadow.reason, 0, sizeof(s->shadow.reason));
	return 0;
}

int service_set_shadow_sample(struct service_model *s, uint32_t sample, struct refusal *why)
{
	int err = check_shadow(s, why);

	if (err)
		return err;
	if (sample > SHADOW_SAMPLE_ALL)
		return refuse(why, EINVAL, "a sample is from 0 to 100 percent");
	s->shadow.sample = sample;
	return 0;
}

int service_pause_shadow(struct service_model *s, const char *reason, struct refusal *why)
{
	int err = check_shadow(s, why);

	if (err)
		return err;
	if (s->shadow.state == SHADOW_OFF)
		return refuse(why, EINVAL, "the shadow of %s is off", s->name);
	s->shadow.state = SHADOW_PAUSED;
	memset(s->shadow.reason, 0, sizeof(s->shadow.reason));
	snprintf(s->shadow.reason, sizeof(s->shadow.reason), "%s", reason);
	return 0;
}
