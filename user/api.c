// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "api.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "names.h"
#include "report.h"

#define FLOWS_SHOWN 1000

/* One request on its way. */
struct exchange {
	struct daemon *daemon;
	const struct api_request *request;
	struct service_model *service; /* of the path; NULL where the path names none */
	json_t *input;                 /* the body; NULL where there is none */
	json_t *answer;
};

static unsigned int refused(struct exchange *x, unsigned int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static unsigned int refused(struct exchange *x, unsigned int status, const char *format, ...)
{
	char text[768];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_decref(x->answer);
	x->answer = json_pack("{s:s}", "error", text);
	if (!x->answer) {
		/* What was asked for is no UTF-8, or was cut within a character. */
		for (char *c = text; *c; c++)
			if (*c & 0x80)
				*c = '?';
		x->answer = json_pack("{s:s}", "error", text);
	}
	return status;
}

/* What an errno of a refusal means over HTTP. */
static unsigned int status_of(int error)
{
	switch (-error) {
	case ENOENT:
		return 404;
	case EINVAL:
	case ENODEV:
	case E2BIG:
		return 400;
	case EEXIST:
	case EBUSY:
	case ENOSPC:
		return 409;
	default:
		return 500;
	}
}

static unsigned int refused_why(struct exchange *x, int error, const struct refusal *why)
{
	return refused(x, status_of(error), "%s", why->text);
}

/* Who changed what, and whether it was done. */
static void audit(const struct exchange *x, const char *what, const struct refusal *why)
{
	const struct api_request *r = x->request;

	if (why)
		log_warning("uid %u (pid %d): %s refused: %s", r->peer_uid, r->peer_pid, what, why->text);
	else
		log_info("uid %u (pid %d): %s", r->peer_uid, r->peer_pid, what);
}

static struct report_view view_of(const struct daemon *d)
{
	return (struct report_view){d->splitter, d->routes, d->patrol, d->rates, d->shadow_sweep, now_s()};
}

/* --- reading --- */

static unsigned int get_version(struct exchange *x)
{
	x->answer = json_pack("{s:s, s:i}", "version", HEADGATE_VERSION, "abi", HEADGATE_ABI);
	return 200;
}

static json_t *report_interface(const struct attached_interface *slot)
{
	const bool runs = slot->ifindex;
	json_t *chained = NULL;

	if (runs && slot->is.chained)
		chained = json_pack("{s:s, s:I}", "name", slot->is.chained_name, "id", (json_int_t)slot->is.chained);
	return json_pack("{s:s, s:i, s:s, s:s, s:s?, s:o?}", "name", slot->name, "ifindex", (int)slot->ifindex, "mode",
			 runs ? name_of_attach(slot->is.mode) : "none", "hook",
			 runs && slot->is.mode == ATTACH_TC ? "tc" : "xdp", "reason", runs ? slot->reason : NULL,
			 "chained", chained);
}

static json_t *report_interfaces(const struct daemon *d)
{
	json_t *array = json_array();

	for (size_t i = 0; i < d->attached_count; i++)
		json_array_append_new(array, report_interface(&d->attached[i]));
	return array;
}

static json_t *lines_to_array(const char *text)
{
	json_t *array = json_array();

	while (text && *text) {
		size_t length = strcspn(text, "\n");

		json_array_append_new(array, json_stringn(text, length));
		text += length + (text[length] == '\n');
	}
	return array;
}

static void append_warning(void *context, const char *text)
{
	json_array_append_new(context, json_string(text));
}

static void warn_of_paused_shadows(const struct model *model, json_t *array)
{
	for (size_t i = 0; i < model->service_count; i++) {
		const struct service_model *s = &model->services[i];

		if (s->shadow.state == SHADOW_PAUSED)
			json_array_append_new(array,
					      json_sprintf("%s: its shadow is paused: %s; `headgate shadow %s on` "
							   "resumes it",
							   s->name, s->shadow.reason, s->name));
	}
}

static json_t *report_warnings(const struct daemon *d)
{
	json_t *array = lines_to_array(d->splitter->warnings);

	warn_of_paused_shadows(d->splitter->model, array);
	patrol_warn(d->patrol, append_warning, array);
	return array;
}

static json_t *report_early(const struct daemon *d)
{
	struct early_counts counts = early_counts(d->early);

	return json_pack("{s:I, s:I}", "resent", (json_int_t)counts.resent, "dropped", (json_int_t)counts.dropped);
}

static unsigned int get_status(struct exchange *x)
{
	struct daemon *d = x->daemon;
	struct report_view view = view_of(d);

	x->answer = json_pack("{s:s, s:i, s:i, s:f, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "version",
			      HEADGATE_VERSION, "abi", HEADGATE_ABI, "pid", (int)getpid(), "uptime_s",
			      (now_ns() - d->started_ns) / 1e9, "adopted", datapath_adopted(d->datapath), "config",
			      d->options.config, "interfaces", report_interfaces(d), "services", report_services(&view),
			      "flows", report_flow_totals(d->splitter), "early_fragments", report_early(d), "warnings",
			      report_warnings(d), "memory_bytes", (json_int_t)datapath_memory_bytes(d->datapath));
	return 200;
}

static unsigned int get_services(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	x->answer = json_pack("{s:o}", "services", report_services(&view));
	return 200;
}

static unsigned int get_service(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	x->answer = report_service(&view, x->service);
	return 200;
}

static unsigned int get_shadow(struct exchange *x)
{
	struct report_view view = view_of(x->daemon);

	if (!x->service->shadow.present)
		return refused(x, 404, "%s has no shadow; its configuration says who shadows a service",
			       x->service->name);
	x->answer = report_mirrored(&view, x->service);
	return 200;
}

static unsigned int get_explain(struct exchange *x)
{
	const char *source = x->request->query(x->request->context, "source");
	struct endpoint client;

	if (!source || endpoint_parse(source, &client))
		return refused(x, 400, "source must be ADDR:PORT or [ADDR]:PORT of a client, not '%.100s'",
			       source ? source : "");
	if (address_is_ipv4(&client.address) != address_is_ipv4(&x->service->vip.address))
		return refused(x, 400, "%s is an %s service, %s is not an address of its clients", x->service->name,
			       address_is_ipv4(&x->service->vip.address) ? "IPv4" : "IPv6", source);
	x->answer = report_explain(x->daemon->splitter, x->daemon->routes, x->service, &client, now_tick());
	return 200;
}

static unsigned int get_flows(struct exchange *x)
{
	const char *service = x->request->query(x->request->context, "service");
	const char *source = x->request->query(x->request->context, "source");
	const char *limit = x->request->query(x->request->context, "limit");
	const char *backend = x->request->query(x->request->context, "backend");
	struct flow_filter filter = {.service = service, .limit = FLOWS_SHOWN};
	struct endpoint backend_endpoint;
	struct address client;
	char *end;

	if (service && !model_find_service(x->daemon->splitter->model, service))
		return refused(x, 404, "no service '%.100s'; `headgate services` lists them", service);
	if (source && address_parse(source, &client))
		return refused(x, 400, "source must be an address, not '%.100s'", source);
	if (backend && endpoint_parse(backend, &backend_endpoint))
		return refused(x, 400, "backend must be ADDR:PORT or [ADDR]:PORT, not '%.100s'", backend);
	filter.variant = x->request->query(x->request->context, "variant");
	filter.state = x->request->query(x->request->context, "state");
	if (backend)
		filter.backend = &backend_endpoint;
	if (source)
		filter.client = &client;
	if (limit) {
		filter.limit = strtoul(limit, &end, 10);
		if (*end || end == limit || *limit == '-' || filter.limit > 1000000)
			return refused(x, 400, "limit must be a number from 0 to 1000000, not '%.100s'", limit);
	}
	x->answer = report_flows(x->daemon->splitter, &filter, now_tick());
	return 200;
}

/* --- changing --- */

static json_t *weights_to_json(const struct service_model *s)
{
	json_t *object = json_object();

	for (size_t v = 0; v < s->variant_count; v++)
		json_object_set_new(object, s->variants[v].name, json_integer(s->variants[v].weight));
	return object;
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
	struct refusal why = {};
	struct report_view view;
	size_t moved;
	char name[NAME_SIZE];
	int error = model_copy(x->daemon->splitter->model, &copy);

	if (error)
		return refused(x, 500, "out of memory");
	snprintf(name, sizeof(name), "%s", x->service->name);
	error = edit(model_find_service(copy, name), context, &why);
	if (error)
		model_free(copy);
	else
		error = daemon_change(x->daemon, copy, json_is_true(json_object_get(x->input, "rollback")), &moved,
				      &why);
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
	json_t *was = weights_to_json(x->service);
	size_t moved = 0;
	unsigned int status = change_service(x, what, edit, context, &moved);

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

static unsigned int put_weights(struct exchange *x)
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

static unsigned int post_switch(struct exchange *x)
{
	const char *to = json_string_value(json_object_get(x->input, "to"));
	char what[256];

	if (!to)
		return refused(x, 400, "the body must be {\"to\": \"VARIANT\"}");
	snprintf(what, sizeof(what), "switch %s to %.64s", x->service->name, to);
	return change_weights(x, what, edit_switch, (void *)to);
}

struct cohort_edit {
	struct prefix source;
	const char *variant; /* NULL: remove */
};

static int edit_cohort(struct service_model *s, void *context, struct refusal *why)
{
	const struct cohort_edit *edit = context;

	if (!edit->variant)
		return service_remove_cohort(s, &edit->source, why);
	return service_add_cohort(s, &edit->source, edit->variant, true, why);
}

static unsigned int change_cohort(struct exchange *x, const char *variant)
{
	const char *source = json_string_value(json_object_get(x->input, "source"));
	struct cohort_edit edit = {.variant = variant};
	char what[256];

	if (!source || prefix_parse(source, &edit.source))
		return refused(x, 400,
			       "source must be a prefix like 10.9.0.0/16 with no bits set behind it, not '%.100s'",
			       source ? source : "");
	snprintf(what, sizeof(what), "cohort %s %s %.100s%s%.64s", variant ? "add" : "remove", x->service->name, source,
		 variant ? " " : "", variant ? variant : "");
	return change_service(x, what, edit_cohort, &edit, NULL);
}

static unsigned int post_cohort(struct exchange *x)
{
	const char *variant = json_string_value(json_object_get(x->input, "variant"));

	if (!variant)
		return refused(x, 400, "the body must be {\"source\": \"PREFIX\", \"variant\": \"NAME\"}");
	return change_cohort(x, variant);
}

static unsigned int delete_cohort(struct exchange *x)
{
	return change_cohort(x, NULL);
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

static unsigned int put_backends(struct exchange *x)
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

static unsigned int put_shadow(struct exchange *x)
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
	return change_service(x, what, edit_shadow, &edit, NULL);
}

static unsigned int post_reload(struct exchange *x)
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

static unsigned int post_detach(struct exchange *x)
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

/* --- which request --- */

struct route {
	const char *method;
	const char *path; /* of a service: what follows /v1/services/NAME */
	bool of_service;
	bool has_body;
	unsigned int (*handle)(struct exchange *x);
};

static const struct route routes[] = {
	{"GET", "/v1/status", false, false, get_status},
	{"GET", "/v1/version", false, false, get_version},
	{"GET", "/v1/services", false, false, get_services},
	{"GET", "/v1/flows", false, false, get_flows},
	{"POST", "/v1/reload", false, false, post_reload},
	{"POST", "/v1/detach", false, false, post_detach},
	{"GET", "", true, false, get_service},
	{"GET", "/explain", true, false, get_explain},
	{"PUT", "/weights", true, true, put_weights},
	{"POST", "/switch", true, true, post_switch},
	{"PUT", "/backends", true, true, put_backends},
	{"GET", "/shadow", true, false, get_shadow},
	{"PUT", "/shadow", true, true, put_shadow},
	{"POST", "/cohorts", true, true, post_cohort},
	{"DELETE", "/cohorts", true, true, delete_cohort},
};

/* Splits /v1/services/NAME/REST. NULL when the path is no service's. */
static const char *service_path(const char *path, char name[NAME_SIZE])
{
	static const char prefix[] = "/v1/services/";
	size_t length;

	if (strncmp(path, prefix, strlen(prefix)))
		return NULL;
	path += strlen(prefix);
	length = strcspn(path, "/");
	if (!length || length >= NAME_SIZE)
		return NULL;
	memcpy(name, path, length);
	name[length] = '\0';
	return path + length;
}

static unsigned int find_route(struct exchange *x, const struct route **ret)
{
	char name[NAME_SIZE];
	const char *rest = service_path(x->request->path, name);
	bool path_known = false;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (strcmp(routes[i].of_service && rest ? rest : x->request->path, routes[i].path) ||
		    routes[i].of_service != !!rest)
			continue;
		path_known = true;
		if (strcmp(routes[i].method, x->request->method))
			continue;
		if (rest)
			x->service = model_find_service(x->daemon->splitter->model, name);
		if (rest && !x->service)
			return refused(x, 404, "no service '%s'; `headgate services` lists them", name);
		*ret = &routes[i];
		return 200;
	}
	if (path_known)
		return refused(x, 405, "%.20s is not possible on %.100s", x->request->method, x->request->path);
	return refused(x, 404, "nothing is at %.100s; docs/api.md lists what is", x->request->path);
}

static unsigned int read_body(struct exchange *x)
{
	json_error_t error;

	if (!x->request->body_bytes)
		return refused(x, 400, "a JSON body is missing");
	x->input = json_loadb(x->request->body, x->request->body_bytes, JSON_REJECT_DUPLICATES, &error);
	if (!x->input)
		return refused(x, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
			       error.text);
	if (!json_is_object(x->input))
		return refused(x, 400, "the body must be a JSON object");
	return 200;
}

unsigned int api_handle(struct daemon *d, const struct api_request *request, json_t **ret_body)
{
	struct exchange x = {.daemon = d, .request = request};
	const struct route *route = NULL;
	unsigned int status = find_route(&x, &route);

	if (status == 200 && route->has_body)
		status = read_body(&x);
	if (status == 200)
		status = route->handle(&x);
	json_decref(x.input);
	if (!x.answer)
		status = 500;
	*ret_body = x.answer;
	return status;
}
