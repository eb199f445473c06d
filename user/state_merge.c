// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the file says and what was decided, put together. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "state.h"
#include "state_file.h"
#include "text.h"

void state_notes_clear(struct state_notes *n)
{
	free(n->text);
	n->text = NULL;
}

/* Adds "SERVICE: what\n"; a note for which there is no memory is not taken. */
static void note(struct state_notes *notes, const char *about, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void note(struct state_notes *notes, const char *about, const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&what, format, arguments) < 0)
		what = NULL;
	va_end(arguments);
	if (!what || asprintf(&text, "%s%s: %s\n", notes->text ?: "", about, what) < 0)
		return;
	free(notes->text);
	notes->text = text;
}

/* "blue=90 canary=10": variants without weight are left out. */
static void print_weights(const json_t *weights, char *text, size_t size)
{
	size_t length = 0;
	const char *name;
	json_t *weight;

	text[0] = '\0';
	json_object_foreach((json_t *)weights, name, weight)
	{
		if (json_integer_value(weight) && length < size)
			length += snprintf(text + length, size - length, "%s%s=%lld", length ? " " : "", name,
					   (long long)json_integer_value(weight));
	}
}

static void print_service_weights(const struct service_model *s, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < s->variant_count && length < size; i++) {
		const struct variant_model *v = &s->variants[i];

		if (v->weight)
			length += snprintf(text + length, size - length, "%s%s=%u", length ? " " : "", v->name,
					   v->weight);
	}
}

/* Variants that only one of the two has count as weight 0 in the other. */
static bool file_still_says(const struct service_model *s, const json_t *weights)
{
	const char *name;
	json_t *weight;

	for (size_t i = 0; i < s->variant_count; i++) {
		const struct variant_model *v = &s->variants[i];

		if (json_integer_value(json_object_get(weights, v->name)) != v->weight)
			return false;
	}
	json_object_foreach((json_t *)weights, name, weight)
	{
		if (json_integer_value(weight) && service_find_variant(s, name) < 0)
			return false;
	}
	return true;
}

/* Sets weights by name; a variant that has none there, or is not there, gets none. */
static int set_weights(struct service_model *s, const json_t *weights, struct refusal *why)
{
	struct weight wanted[VARIANTS_MAX];
	const char *name;
	json_t *weight;

	json_object_foreach((json_t *)weights, name, weight)
	{
		if (json_integer_value(weight) && service_find_variant(s, name) < 0)
			return refuse(why, ENOENT, "the file has no variant %s any more", name);
	}
	for (size_t i = 0; i < s->variant_count; i++) {
		memcpy(wanted[i].variant, s->variants[i].name, NAME_SIZE);
		wanted[i].weight = json_integer_value(json_object_get(weights, s->variants[i].name));
	}
	return service_set_weights(s, wanted, s->variant_count, why);
}

static void merge_weights(struct service_model *s, const json_t *weights, struct state_notes *notes)
{
	const json_t *configured = json_object_get(weights, "configured");
	const json_t *running = json_object_get(weights, "running");
	char decided[256], was[256], now[256];
	struct refusal why;

	print_weights(running, decided, sizeof(decided));
	print_weights(configured, was, sizeof(was));
	print_service_weights(s, now, sizeof(now));
	if (!file_still_says(s, configured))
		note(notes, s->name,
		     "weights %s, set by command or by a rollout, are dropped: the file said %s then and says %s now",
		     decided, was, now);
	else if (set_weights(s, running, &why))
		note(notes, s->name, "weights %s, set by command or by a rollout, are dropped: %s", decided, why.text);
	else
		note(notes, s->name, "weights %s, set by command or by a rollout, stay in force; the file says %s",
		     decided, now);
}

static bool is_of_variant(const struct cohort_model *c, const struct cohort_model *other)
{
	return c && !strcmp(c->variant, other->variant);
}

/* Of the shape that state_file_read() has checked. */
static void read_cohort(const json_t *cohort, struct cohort_model *ret)
{
	const char *owner = json_string_value(json_object_get(cohort, "owner"));
	const char *note = json_string_value(json_object_get(cohort, "note"));

	memset(ret, 0, sizeof(*ret)); /* models are compared as bytes */
	prefix_parse(json_string_value(json_object_get(cohort, "source")), &ret->source);
	strcpy(ret->variant, json_string_value(json_object_get(cohort, "variant")));
	strcpy(ret->owner, owner ?: "");
	strcpy(ret->note, note ?: "");
	ret->expires_s = json_integer_value(json_object_get(cohort, "expires"));
	ret->by_command = true;
}

/* An expiry that is another now is another cohort: who extends one in the file wants it back. */
static void keep_removed(struct service_model *s, const struct cohort_model *c, struct state_notes *notes)
{
	const struct cohort_model *file = service_find_cohort(s, &c->source);
	char text[ADDRESS_TEXT_SIZE], expired[INSTANT_SIZE + 32] = "", instant[INSTANT_SIZE];

	prefix_format(&c->source, text);
	if (c->expires_s)
		snprintf(expired, sizeof(expired), " or expired at %s", text_of_instant(c->expires_s, instant));
	if (is_of_variant(file, c) && file->expires_s == c->expires_s && !service_remove_cohort(s, &c->source, NULL))
		note(notes, s->name, "cohort %s (variant %s), removed by command%s, stays removed; the file has it",
		     text, c->variant, expired);
	else
		note(notes, s->name,
		     "the removal of cohort %s (variant %s) by command is dropped: the file has no such cohort now",
		     text, c->variant);
}

/* Returns 0, also when the cohort is dropped; -ENOMEM. */
static int keep_added(struct service_model *s, const struct cohort_model *c, int64_t now_s, struct state_notes *notes)
{
	char text[ADDRESS_TEXT_SIZE];
	struct refusal why;
	int err;

	prefix_format(&c->source, text);
	if (is_of_variant(service_find_cohort(s, &c->source), c)) {
		note(notes, s->name, "cohort %s (variant %s), added by command, is in the file now", text, c->variant);
		return 0;
	}
	err = service_add_cohort(s, c, &why);
	if (err == -ENOMEM)
		return err;
	if (err)
		note(notes, s->name, "cohort %s (variant %s), added by command, is dropped: %s", text, c->variant,
		     why.text);
	else if (!cohort_has_expired(c, now_s))
		note(notes, s->name, "cohort %s (variant %s), added by command, stays; the file does not have it", text,
		     c->variant);
	return 0;
}

/* Removals first: a cohort that was pinned to another variant is a removal and an addition of one prefix. */
static int merge_cohorts(struct service_model *s, const json_t *cohorts, bool added, int64_t now_s,
			 struct state_notes *notes)
{
	const json_t *cohort;
	size_t i;

	json_array_foreach(cohorts, i, cohort)
	{
		struct cohort_model c;
		int err = 0;

		if (json_is_true(json_object_get(cohort, "added")) != added)
			continue;
		read_cohort(cohort, &c);
		if (added)
			err = keep_added(s, &c, now_s, notes);
		else
			keep_removed(s, &c, notes);
		if (err)
			return err;
	}
	return 0;
}

/* Of the file, or added by command while the daemon was not there. */
static void drop_expired(struct service_model *s, int64_t now_s, struct state_notes *notes)
{
	char text[ADDRESS_TEXT_SIZE], instant[INSTANT_SIZE];

	for (size_t i = s->cohort_count; i-- > 0;) {
		struct cohort_model c = s->cohorts[i];

		if (!cohort_has_expired(&c, now_s) || service_remove_cohort(s, &c.source, NULL))
			continue;
		note(notes, s->name, "cohort %s (variant %s)%s%s%s%s has expired at %s and is not in force%s",
		     prefix_format(&c.source, text), c.variant, c.owner[0] ? " of " : "", c.owner,
		     c.note[0] ? ", noted " : "", c.note, text_of_instant(c.expires_s, instant),
		     c.by_command ? "" : "; take it out of the file");
	}
}

/* Last, as whether a backend may be drained depends on weights and cohorts. */
static void merge_drained(struct service_model *s, const json_t *drained, struct state_notes *notes)
{
	const json_t *item;
	size_t i;

	json_array_foreach(drained, i, item)
	{
		const char *text = json_string_value(json_object_get(item, "backend"));
		const char *variant = json_string_value(json_object_get(item, "variant"));
		struct endpoint backend;
		struct refusal why;

		if (endpoint_parse(text, &backend))
			continue;
		if (service_drain_backend_of(s, variant, &backend, true, &why))
			note(notes, s->name, "the draining of backend %s of %s by command is dropped: %s", text,
			     variant, why.text);
		else
			note(notes, s->name, "backend %s of %s, drained by command, stays drained", text, variant);
	}
}

static void merge_sample(struct service_model *s, const json_t *sample, struct state_notes *notes)
{
	uint32_t was = json_integer_value(json_object_get(sample, "configured"));
	uint32_t decided = json_integer_value(json_object_get(sample, "running"));
	uint32_t now = s->shadow.sample;

	if (was != now) {
		note(notes, s->name,
		     "the shadow's sample of %g%%, set by command or by a rollout, is dropped: the file said %g%% then "
		     "and says %g%% "
		     "now",
		     decided / 100.0, was / 100.0, now / 100.0);
		return;
	}
	s->shadow.sample = decided;
	note(notes, s->name,
	     "the shadow's sample of %g%%, set by command or by a rollout, stays in force; the file says %g%%",
	     decided / 100.0, now / 100.0);
}

static void merge_shadow(struct service_model *s, const json_t *shadow, struct state_notes *notes)
{
	const json_t *sample = json_object_get(shadow, "sample");
	const char *state = json_string_value(json_object_get(shadow, "state"));

	if (!s->shadow.present) {
		note(notes, s->name, "what was set by command for its shadow is dropped: the file has no shadow now");
		return;
	}
	if (sample)
		merge_sample(s, sample, notes);
	if (!state)
		return;
	if (!strcmp(state, "off")) {
		s->shadow.state = SHADOW_OFF;
		note(notes, s->name, "its shadow, turned off by command, stays off");
		return;
	}
	s->shadow.state = SHADOW_PAUSED;
	snprintf(s->shadow.reason, sizeof(s->shadow.reason), "%s",
		 json_string_value(json_object_get(shadow, "reason")));
	note(notes, s->name, "its shadow stays paused: %s", s->shadow.reason);
}

static int merge_services(struct model *m, const json_t *services, int64_t now_s, struct state_notes *notes)
{
	const char *name;
	json_t *decided;

	json_object_foreach((json_t *)services, name, decided)
	{
		struct service_model *s = model_find_service(m, name);
		const json_t *weights = json_object_get(decided, "weights");
		const json_t *cohorts = json_object_get(decided, "cohorts");
		const json_t *shadow = json_object_get(decided, "shadow");
		int err;

		if (!s) {
			note(notes, name, "what was set by command is dropped: the file has no such service now");
			continue;
		}
		if (weights)
			merge_weights(s, weights, notes);
		err = merge_cohorts(s, cohorts, false, now_s, notes);
		if (!err)
			err = merge_cohorts(s, cohorts, true, now_s, notes);
		if (err)
			return err;
		merge_drained(s, json_object_get(decided, "drained"), notes);
		if (shadow)
			merge_shadow(s, shadow, notes);
	}
	return 0;
}

static int set_aside(const char *path, const struct refusal *why, struct state_notes *notes)
{
	_cleanup_free_ char *aside = NULL;

	if (asprintf(&aside, "%s.damaged", path) < 0) {
		aside = NULL;
		return -ENOMEM;
	}
	if (rename(path, aside))
		note(notes, path, "%s; it is ignored, but cannot be set aside: %s", why->text, strerror(errno));
	else
		note(notes, path, "%s; it is ignored, and set aside as %s: what was set by command is lost", why->text,
		     aside);
	return 0;
}

int state_merge(const char *path, const struct model *configured, int64_t now_s, struct state_notes *notes,
		struct model **ret)
{
	_cleanup_(model_freep) struct model *merged = NULL;
	_cleanup_(json_decrefp) json_t *state = NULL;
	struct refusal why = {};
	int err = model_copy(configured, &merged);

	if (err)
		return err;
	err = state_file_read(path, &why, &state);
	if (err == -EBADMSG)
		err = set_aside(path, &why, notes);
	else if (!err)
		err = merge_services(merged, json_object_get(state, "services"), now_s, notes);
	else if (err == -ENOENT)
		err = 0;
	else if (why.text[0])
		note(notes, path, "%s", why.text);
	if (err)
		return err;
	for (size_t i = 0; i < merged->service_count; i++)
		drop_expired(&merged->services[i], now_s, notes);
	*ret = TAKE_PTR(merged);
	return 0;
}
