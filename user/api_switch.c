// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Blue/green of many services in one request: all of them, or none. */
#include "api_exchange.h"

#include <string.h>

struct switched {
	struct model *model; /* a copy of the one in force, to be changed */
	const char *to;      /* variant */
	const json_t *names; /* of the services; NULL: all that have such a variant */
	bool *chosen;        /* by position in the model */
	size_t count;
};

static void switched_clear(struct switched *c)
{
	model_free(c->model);
	free(c->chosen);
}

static unsigned int choose_named(struct exchange *x, struct switched *c)
{
	const json_t *name;
	size_t i;

	json_array_foreach(c->names, i, name)
	{
		const char *text = json_string_value(name);
		const struct service_model *s = text ? model_find_service(c->model, text) : NULL;

		if (!text)
			return refused(x, 400, "services must be names");
		if (!s)
			return refused(x, 404, "no service '%.100s'; `headgate services` lists them", text);
		c->count += !c->chosen[s - c->model->services];
		c->chosen[s - c->model->services] = true;
	}
	return 200;
}

static unsigned int choose(struct exchange *x, struct switched *c)
{
	unsigned int status = c->names ? choose_named(x, c) : 200;

	for (size_t i = 0; i < c->model->service_count && !c->names; i++) {
		c->chosen[i] = service_find_variant(&c->model->services[i], c->to) >= 0;
		c->count += c->chosen[i];
	}
	if (status == 200 && !c->count)
		return refused(x, 404, "no service has a variant '%.100s'; `headgate services` lists them", c->to);
	return status;
}

static int edit(struct switched *c, bool rollback, struct refusal *why)
{
	int error = 0;

	for (size_t i = 0; i < c->model->service_count && !error; i++) {
		if (!c->chosen[i])
			continue;
		error = service_switch(&c->model->services[i], c->to, why);
		c->model->services[i].rollback = rollback;
	}
	return error;
}

/* What each chosen service's weights are, in the model's order. */
static json_t *weights_of(const struct switched *c, const struct model *model)
{
	json_t *array = json_array();

	for (size_t i = 0; i < model->service_count; i++)
		if (c->chosen[i])
			json_array_append_new(array, weights_to_json(&model->services[i]));
	return array;
}

static json_t *report(const struct switched *c, const struct model *model, const json_t *was)
{
	json_t *array = json_array();
	size_t number = 0;

	for (size_t i = 0; i < model->service_count; i++)
		if (c->chosen[i])
			json_array_append_new(array, json_pack("{s:s, s:O, s:o}", "service", model->services[i].name,
							       "was", json_array_get(was, number++), "weights",
							       weights_to_json(&model->services[i])));
	return array;
}

static unsigned int apply(struct exchange *x, struct switched *c, const char *what)
{
	struct splitter *sp = x->daemon->splitter;
	bool rollback = json_is_true(json_object_get(x->input, "rollback"));
	json_t *was = weights_of(c, sp->model);
	struct refusal why = {};
	size_t moved = 0;
	int error = edit(c, rollback, &why);

	if (!error)
		error = daemon_change(x->daemon, TAKE_PTR(c->model), &moved, &why);
	audit(x, what, error ? &why : NULL);
	if (!error)
		x->answer = json_pack("{s:o, s:I}", "switched", report(c, sp->model, was), "moved_slots",
				      (json_int_t)moved);
	json_decref(was);
	return error ? refused_why(x, error, &why) : 200;
}

/* {"to": "VARIANT", "services": ["NAME", ..]}, or "all": true in place of the names. */
static unsigned int read_switch(struct exchange *x, struct switched *c)
{
	const json_t *all = json_object_get(x->input, "all");

	c->to = json_string_value(json_object_get(x->input, "to"));
	c->names = json_object_get(x->input, "services");
	if (!c->to || (c->names ? all || !json_is_array(c->names) || !json_array_size(c->names) : !json_is_true(all)))
		return refused(x, 400,
			       "the body must be {\"to\": \"VARIANT\", \"services\": [\"NAME\", ..]} or {\"to\": "
			       "\"VARIANT\", \"all\": true}");
	if (model_copy(x->daemon->splitter->model, &c->model))
		return refused(x, 500, "out of memory");
	c->chosen = calloc(c->model->service_count + 1, sizeof(*c->chosen));
	return c->chosen ? choose(x, c) : refused(x, 500, "out of memory");
}

unsigned int post_switch_many(struct exchange *x)
{
	_cleanup_(switched_clear) struct switched c = {};
	unsigned int status = read_switch(x, &c);
	char what[128];

	if (status != 200)
		return status;
	snprintf(what, sizeof(what), "switch %zu services to %.64s", c.count, c.to);
	for (size_t i = 0; i < c.model->service_count && status == 200; i++)
		if (c.chosen[i])
			status = check_rollout(x, &c.model->services[i], what);
	return status == 200 ? apply(x, &c, what) : status;
}
