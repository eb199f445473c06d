// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What people want otherwise. */
#include "api_exchange.h"

#include <string.h>

#include "text.h"

json_t *weights_to_json(const struct service_model *s)
{
	json_t *object = json_object();

	for (size_t v = 0; v < s->variant_count; v++)
		json_object_set_new(object, s->variants[v].name, json_integer(s->variants[v].weight));
	return object;
}

unsigned int check_rollout(struct exchange *x, const struct service_model *s, const char *what)
{
	struct refusal why = {};
	int error = conductor_allows(x->daemon->conductor, s->name, &why);

	if (!error)
		return 200;
	audit(x, what, &why);
	return refused_why(x, error, &why);
}

/*
 * A change of one service: a copy of the model is edited by @edit (0 or -errno with @why), remembered and put in force.
 * The answer has the service as it is now.
 */
static unsigned int change_service(struct exchange *x, const char *what,
				   int (*edit)(struct service_model *s, void *context, struct refusal *why),
				   void *context, size_t *ret_moved)
{
	struct model *copy;
	struct service_model *s;
	struct refusal why = {};
	struct report_view view;
	size_t moved;
	char name[NAME_SIZE];
	int error = model_copy(x->daemon->splitter->model, &copy);

	if (error)
		return refused(x, 500, "out of memory");
	snprintf(name, sizeof(name), "%s", x->service->name);
	s = model_find_service(copy, name);
	s->rollback = json_is_true(json_object_get(x->input, "rollback"));
	error = edit(s, context, &why);
	if (error)
		model_free(copy);
	else
		error = daemon_change(x->daemon, copy, &moved, &why);
	audit(x, what, error ? &why : NULL);
	if (error)
		return refused_why(x, error, &why);
	if (ret_moved)
		*ret_moved = moved;
	x->service = model_find_service(x->daemon->splitter->model, name);
	view = view_of(x->daemon);
	x->answer = json_pack("{s:o}", "service", report_service(&view, x->service));
	return 200;
}

struct weights_edit {
	struct weight *weights;
	size_t count;
};

static int edit_weights(struct service_model *s, void *context, struct refusal *why)
{
	struct weights_edit *edit = context;

	return service_set_weights(s, edit->weights, edit->count, why);
}

/* Changes of weights answer with what was before and how much moved. */
static unsigned int change_weights(struct exchange *x, const char *what,
				   int (*edit)(struct service_model *s, void *context, struct refusal *why),
				   void *context)
{
	unsigned int status = check_rollout(x, x->service, what);
	size_t moved = 0;
	json_t *was;

	if (status != 200)
		return status;
	was = weights_to_json(x->service);
	status = change_service(x, what, edit, context, &moved);
	if (status == 200) {
		json_object_set(x->answer, "was", was);
		json_object_set_new(x->answer, "moved_slots", json_integer(moved));
	}
	json_decref(was);
	return status;
}

/* Fills @edit from {"weights": {...}}; a number out of range is left for the model to refuse. */
static unsigned int read_weights(struct exchange *x, struct weights_edit *edit, char *what, size_t what_bytes)
{
	json_t *weights = json_object_get(x->input, "weights"), *value;
	const char *name;
	size_t used;

	if (!json_is_object(weights) || json_object_size(weights) == 0)
		return refused(x, 400, "the body must be {\"weights\": {\"VARIANT\": NUMBER, ..}}");
	edit->weights = calloc(json_object_size(weights), sizeof(*edit->weights));
	if (!edit->weights)
		return refused(x, 500, "out of memory");
	used = snprintf(what, what_bytes, "weights %s", x->service->name);
	json_object_foreach(weights, name, value)
	{
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number < 0 || number > WEIGHT_MAX)
			return refused(x, 400, "the weight of %.64s must be a whole number from 0 to %u", name,
				       WEIGHT_MAX);
		snprintf(edit->weights[edit->count].variant, NAME_SIZE, "%s", name);
		edit->weights[edit->count++].weight = number;
		if (used < what_bytes)
			used += snprintf(what + used, what_bytes - used, " %.64s=%lld", name, (long long)number);
	}
	return 200;
}

unsigned int put_weights(struct exchange *x)
{
	struct weights_edit edit = {};
	char what[512];
	unsigned int status = read_weights(x, &edit, what, sizeof(what));

	if (status == 200)
		status = change_weights(x, what, edit_weights, &edit);
	free(edit.weights);
	return status;
}

static int edit_switch(struct service_model *s, void *context, struct refusal *why)
{
	return service_switch(s, context, why);
}

unsigned int post_switch(struct exchange *x)
{
	const char *to = json_string_value(json_object_get(x->input, "to"));
	char what[256];

	if (!to)
		return refused(x, 400, "the body must be {\"to\": \"VARIANT\"}");
	snprintf(what, sizeof(what), "switch %s to %.64s", x->service->name, to);
	return change_weights(x, what, edit_switch, (void *)to);
}

struct cohort_edit {
	struct cohort_model cohort;           /* what of it was given, and zeroes */
	bool has_owner, has_note, has_expiry; /* what was not stays as it is */
};

static int edit_cohort(struct service_model *s, void *context, struct refusal *why)
{
	const struct cohort_edit *edit = context;
	const struct cohort_model *old = service_find_cohort(s, &edit->cohort.source);
	struct cohort_model cohort = edit->cohort;

	if (old && !strcmp(old->variant, cohort.variant)) {
		if (!edit->has_owner)
			memcpy(cohort.owner, old->owner, sizeof(cohort.owner));
		if (!edit->has_note)
			memcpy(cohort.note, old->note, sizeof(cohort.note));
		if (!edit->has_expiry)
			cohort.expires_s = old->expires_s;
	}
	return service_add_cohort(s, &cohort, why);
}

static int edit_no_cohort(struct service_model *s, void *context, struct refusal *why)
{
	return service_remove_cohort(s, context, why);
}

static unsigned int read_source(struct exchange *x, struct prefix *ret)
{
	const char *source = json_string_value(json_object_get(x->input, "source"));

	if (!source || prefix_parse(source, ret))
		return refused(x, 400,
			       "source must be a prefix like 10.9.0.0/16 with no bits set behind it, not '%.100s'",
			       source ? source : "");
	return 200;
}

/* A text that people are shown; left out or null: not given. */
static unsigned int read_label(struct exchange *x, const char *key, size_t size, char *ret, bool *ret_given)
{
	const json_t *value = json_object_get(x->input, key);
	const char *text = json_string_value(value);

	*ret_given = value && !json_is_null(value);
	if (*ret_given &&
	    (!text || strlen(text) != json_string_length(value) || strcmp(text_show(text, ret, size), text)))
		return refused(x, 400, "%s must be a text of fewer than %zu bytes, without control characters", key,
			       size);
	return 200;
}

static unsigned int read_expiry(struct exchange *x, int64_t *ret_s, bool *ret_given)
{
	const json_t *value = json_object_get(x->input, "expires");
	const char *text = json_string_value(value);

	*ret_given = value && !json_is_null(value);
	if (!*ret_given || (text && !strcmp(text, "never")))
		return 200;
	if (!text || text_instant(text, ret_s))
		return refused(x, 400, "expires must be a time like 2026-12-01T10:00:00Z, a date, or never");
	if (*ret_s <= wall_clock_s())
		return refused(x, 400, "expires is %.40s, which is over: give a time that is to come", text);
	return 200;
}

unsigned int post_cohort(struct exchange *x)
{
	const char *variant = json_string_value(json_object_get(x->input, "variant"));
	char what[640], source[ADDRESS_TEXT_SIZE], instant[INSTANT_SIZE];
	struct cohort_edit edit;
	struct cohort_model *c = &edit.cohort;
	unsigned int status;

	memset(&edit, 0, sizeof(edit)); /* models are compared as bytes */
	c->by_command = true;
	if (!variant)
		return refused(x, 400, "the body must be {\"source\": \"PREFIX\", \"variant\": \"NAME\"}");
	snprintf(c->variant, sizeof(c->variant), "%s", variant);
	status = read_source(x, &c->source);
	if (status == 200)
		status = read_label(x, "owner", sizeof(c->owner), c->owner, &edit.has_owner);
	if (status == 200)
		status = read_label(x, "note", sizeof(c->note), c->note, &edit.has_note);
	if (status == 200)
		status = read_expiry(x, &c->expires_s, &edit.has_expiry);
	if (status != 200)
		return status;
	snprintf(what, sizeof(what), "cohort add %s %s %s%s%s%s%s%s%s", x->service->name,
		 prefix_format(&c->source, source), c->variant, c->owner[0] ? ", owner " : "", c->owner,
		 c->note[0] ? ", note " : "", c->note, c->expires_s ? ", expires " : "",
		 c->expires_s ? text_of_instant(c->expires_s, instant) : "");
	return change_service(x, what, edit_cohort, &edit, NULL);
}

unsigned int delete_cohort(struct exchange *x)
{
	char what[256], text[ADDRESS_TEXT_SIZE];
	struct prefix source;
	unsigned int status = read_source(x, &source);

	if (status != 200)
		return status;
	snprintf(what, sizeof(what), "cohort remove %s %s", x->service->name, prefix_format(&source, text));
	return change_service(x, what, edit_no_cohort, &source, NULL);
}

struct drain_edit {
	const char *variant; /* or NULL: */
	struct endpoint backend;
	bool drained;
};

static int edit_drain(struct service_model *s, void *context, struct refusal *why)
{
	const struct drain_edit *edit = context;

	if (edit->variant)
		return service_drain_variant(s, edit->variant, edit->drained, why);
	return service_drain_backend(s, &edit->backend, edit->drained, why);
}

unsigned int put_backends(struct exchange *x)
{
	const char *backend = json_string_value(json_object_get(x->input, "backend"));
	const json_t *drained = json_object_get(x->input, "drained");
	struct drain_edit edit = {.variant = json_string_value(json_object_get(x->input, "variant"))};
	char what[256];

	if (!json_is_boolean(drained) || !backend == !edit.variant)
		return refused(x, 400,
			       "the body must be {\"backend\": \"ADDR:PORT\", \"drained\": true} or {\"variant\": "
			       "\"NAME\", \"drained\": true}");
	if (backend && endpoint_parse(backend, &edit.backend))
		return refused(x, 400, "backend must be ADDR:PORT or [ADDR]:PORT, not '%.100s'", backend);
	edit.drained = json_is_true(drained);
	snprintf(what, sizeof(what), "%s %s %.100s", edit.drained ? "drain" : "undrain", x->service->name,
		 backend ? backend : edit.variant);
	return change_service(x, what, edit_drain, &edit, NULL);
}

struct shadow_edit {
	bool has_state, on;
	bool has_sample;
	uint32_t sample; /* of SHADOW_SAMPLE_ALL */
};

/* The sample first, so that both may be set at once. */
static int edit_shadow(struct service_model *s, void *context, struct refusal *why)
{
	const struct shadow_edit *edit = context;
	int error = edit->has_sample ? service_set_shadow_sample(s, edit->sample, why) : 0;

	if (!error && edit->has_state)
		error = service_set_shadow(s, edit->on, why);
	return error;
}

/* As far as a binary fraction can be: 0.29 % is 28.999999999999996 parts. */
static bool is_whole(double parts)
{
	double off = parts - (uint32_t)(parts + 0.5);

	return off < 1e-6 && off > -1e-6;
}

/* {"state": "on" or "off", "sample": PERCENT}: either or both. */
static unsigned int read_shadow(struct exchange *x, struct shadow_edit *edit)
{
	const json_t *state = json_object_get(x->input, "state"), *sample = json_object_get(x->input, "sample");
	const char *word = json_string_value(state);
	double parts = json_number_value(sample) * SHADOW_SAMPLE_ALL / 100;

	edit->has_state = state;
	edit->on = word && !strcmp(word, "on");
	edit->has_sample = sample;
	if ((!state && !sample) || (state && !edit->on && (!word || strcmp(word, "off"))))
		return refused(x, 400,
			       "the body must be {\"state\": \"on\"}, {\"state\": \"off\"} or {\"sample\": "
			       "PERCENT}");
	if (!sample)
		return 200;
	if (!json_is_number(sample) || !(parts >= 0 && parts <= SHADOW_SAMPLE_ALL) || !is_whole(parts))
		return refused(x, 400, "sample must be from 0 to 100 percent, in steps of 0.01");
	edit->sample = parts + 0.5;
	return 200;
}

unsigned int put_shadow(struct exchange *x)
{
	struct shadow_edit edit = {};
	unsigned int status = read_shadow(x, &edit);
	char what[256], sample[32] = "";

	if (status != 200)
		return status;
	if (edit.has_sample)
		snprintf(sample, sizeof(sample), " sample %g", edit.sample / 100.0);
	snprintf(what, sizeof(what), "shadow %s%s%s", x->service->name, sample,
		 !edit.has_state ? ""
		 : edit.on       ? " on"
				 : " off");
	/* One that the daemon has paused may be resumed: a rollout wants it on, too. */
	if (!(edit.on && !edit.has_sample && x->service->shadow.state == SHADOW_PAUSED))
		status = check_rollout(x, x->service, what);
	if (status != 200)
		return status;
	return change_service(x, what, edit_shadow, &edit, NULL);
}

unsigned int post_reload(struct exchange *x)
{
	_cleanup_free_ char *changed = NULL, *kept = NULL;
	struct problems problems = {};
	struct refusal why = {};
	int error = daemon_reload(x->daemon, &problems, &changed, &kept, &why);
	unsigned int status = 200;

	audit(x, "reload", error ? &why : NULL);
	if (error) {
		status = refused_why(x, error, &why);
		if (problems.count)
			json_object_set_new(x->answer, "problems", lines_to_array(problems.text));
	} else {
		x->answer = json_pack("{s:o, s:o}", "changed", lines_to_array(changed), "kept", lines_to_array(kept));
	}
	problems_clear(&problems);
	return status;
}

unsigned int post_detach(struct exchange *x)
{
	json_t *names = json_array();
	int error;

	for (size_t i = 0; i < x->daemon->attached_count; i++)
		json_array_append_new(names, json_string(x->daemon->attached[i].name));
	error = daemon_detach(x->daemon);
	audit(x, "detach", NULL);
	if (error) {
		json_decref(names);
		return refused(x, 500, "not everything in %s could be removed: %s", x->daemon->options.pins,
			       strerror(-error));
	}
	x->answer = json_pack("{s:o}", "detached", names);
	return 200;
}
