// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which request is whose. */
#include "api.h"

#include <string.h>

#include "api_exchange.h"

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
	{"POST", "/v1/switch", false, true, post_switch_many},
	{"POST", "/v1/reload", false, false, post_reload},
	{"POST", "/v1/detach", false, false, post_detach},
	{"GET", "/v1/rollouts", false, false, get_rollouts},
	{"GET", "", true, false, get_service},
	{"GET", "/explain", true, false, get_explain},
	{"PUT", "/weights", true, true, put_weights},
	{"POST", "/switch", true, true, post_switch},
	{"PUT", "/backends", true, true, put_backends},
	{"GET", "/shadow", true, false, get_shadow},
	{"PUT", "/shadow", true, true, put_shadow},
	{"POST", "/cohorts", true, true, post_cohort},
	{"DELETE", "/cohorts", true, true, delete_cohort},
	{"GET", "/rollout", true, false, get_rollout},
	{"POST", "/rollout", true, true, post_rollout},
	{"GET", "/rollout/history", true, false, get_rollout_history},
	{"POST", "/rollout/metrics", true, true, post_rollout_metrics},
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
	if (!x.answer && status != API_LATER)
		status = 500;
	*ret_body = x.answer;
	return status;
}
