// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "address.h"
#include "commands.h"
#include "view.h"

/* Which backends a command is about: one by its endpoint (of every variant that has it), or all of a variant. */
struct selection {
	const char *key; /* in a request: "backend" or "variant" */
	char text[ADDRESS_TEXT_SIZE];
};

static bool is_selected(const struct selection *selection, const json_t *variant, const json_t *backend)
{
	if (!strcmp(member_text(backend, "state"), "draining"))
		return false; /* it has left the configuration: no command is about it any more */
	if (!strcmp(selection->key, "variant"))
		return !strcmp(selection->text, member_text(variant, "name"));
	return !strcmp(selection->text, member_text(backend, "address"));
}

/* -EINVAL as endpoint_parse() for what can be neither: no name has a colon or a dot. */
static int select_backends(const char *text, struct selection *ret)
{
	struct endpoint endpoint;
	int rc = endpoint_parse(text, &endpoint);

	if (rc < 0 && (strpbrk(text, ".:") || strlen(text) >= sizeof(ret->text)))
		return rc;
	ret->key = rc < 0 ? "variant" : "backend";
	if (rc < 0)
		strcpy(ret->text, text);
	else
		endpoint_format(&endpoint.address, endpoint.port, ret->text);
	return 0;
}

static const struct figure active_figure = {">ACTIVE", FIGURE_ESTIMATE, "active"};

static void print_drained(const json_t *service, const json_t *variant, const json_t *backend)
{
	const json_t *active = json_object_get(backend, "active");
	char text[QUANTITY_SIZE], policy[POLICY_SIZE];

	printf("%s of %s gets no new connections; ", member_text(backend, "address"), member_text(variant, "name"));
	if (json_is_number(active) && !json_integer_value(active))
		puts("it has no live ones");
	else
		printf("its live ones (%s) %s\n",
		       json_is_number(active) ? figure_format(&active_figure, service, backend, text) : "not counted",
		       view_policy(service, "on_change", policy));
}

static void print_undrained(const json_t *variant, const json_t *backend)
{
	const char *address = member_text(backend, "address"), *name = member_text(variant, "name");

	if (json_is_false(json_object_get(backend, "in_rotation")))
		printf("%s of %s gets new connections once it is healthy; now it is %s\n", address, name,
		       member_text(backend, "health"));
	else if (!member_count(variant, "weight"))
		printf("%s of %s gets new connections once %s has weight, or a cohort\n", address, name, name);
	else
		printf("%s of %s gets new connections again\n", address, name);
}

static void render_change(const struct invocation *call, const json_t *body)
{
	const json_t *service = json_object_get(body, "service"), *variant, *backend;
	bool drain = !strcmp(call->arguments[0], "drain");
	json_auto_t *services = json_pack("[O]", service);
	struct selection selection = {0};
	char policy[POLICY_SIZE];
	size_t i, j;

	select_backends(call->arguments[2], &selection);
	json_array_foreach(json_object_get(service, "variants"), i, variant)
	{
		json_array_foreach(json_object_get(variant, "backends"), j, backend)
		{
			if (!is_selected(&selection, variant, backend))
				continue;
			if (drain)
				print_drained(service, variant, backend);
			else
				print_undrained(variant, backend);
		}
	}
	if (!drain)
		printf("connections that went elsewhere in the meantime %s\n",
		       view_policy(service, "on_change", policy));
	view_estimates(services);
	printf("\n`headgate backend list %s` shows how many remain\n", call->arguments[1]);
}

static enum exit_code change(const struct invocation *call, bool drained)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/backends");
	json_auto_t *request = NULL;
	struct selection selection;

	if (select_backends(call->arguments[2], &selection) < 0)
		return complain_usage(call, "\"%s\" is neither a backend, as ADDRESS:PORT, nor a variant",
				      call->arguments[2]);
	request = json_pack("{s:s, s:b}", selection.key, selection.text, "drained", drained);
	if (!request)
		return complain_usage(call, "the variant's name is not UTF-8");
	return converse(call, "PUT", path, request, render_change);
}

static const struct figure figures[] = {
	{"HEALTH", FIGURE_TEXT, "health"},
	{"IN ROTATION", FIGURE_FLAG, "in_rotation"},
	{"DRAINED", FIGURE_FLAG, "drained"},
	{">ACTIVE", FIGURE_ESTIMATE, "active"},
	{">OPENED", FIGURE_COUNT, "opened"},
	{">ERRORS", FIGURE_SHARE, "measured.error_rate"},
	{">FIRST BYTE P50", FIGURE_TIME, "measured.first_byte_s.p50"},
	{">P95", FIGURE_TIME, "measured.first_byte_s.p95"},
	{">LEFTOVER", FIGURE_COUNT, "leftover"},
};

static void add_service(struct listing *l, const json_t *service)
{
	const json_t *variant, *backend;
	size_t i, j;

	json_array_foreach(json_object_get(service, "variants"), i, variant)
	{
		json_array_foreach(json_object_get(variant, "backends"), j, backend)
		{
			listing_add(l, "%s", member_text(service, "name"));
			listing_add(l, "%s", member_text(variant, "name"));
			listing_add(l, "%s", member_text(backend, "address"));
			figures_add(l, figures, ARRAY_SIZE(figures), service, backend);
		}
	}
}

/* Why backends are down, where the daemon says it; an empty line before the first. */
static void print_reasons(const json_t *services)
{
	const json_t *service, *variant, *backend;
	const char *separator = "\n";
	size_t i, j, k;

	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "variants"), j, variant)
		{
			json_array_foreach(json_object_get(variant, "backends"), k, backend)
			{
				if (!json_is_string(json_object_get(backend, "health_why")))
					continue;
				printf("%s%s: %s is %s: %s\n", separator, member_text(service, "name"),
				       member_text(backend, "address"), member_text(backend, "health"),
				       member_text(backend, "health_why"));
				separator = "";
			}
		}
	}
}

static void view_backends(const json_t *services)
{
	static const char *const leading[] = {"SERVICE", "VARIANT", "BACKEND", NULL};
	_cleanup_(listing_freep) struct listing *l = figures_open(leading, figures, ARRAY_SIZE(figures));
	const json_t *service;
	size_t i;

	json_array_foreach(services, i, service) add_service(l, service);
	view_listing(l);
	view_estimates(services);
	print_reasons(services);
}

static void render_all(const struct invocation *call, const json_t *body)
{
	(void)call;
	view_backends(json_object_get(body, "services"));
}

static void render_one(const struct invocation *call, const json_t *body)
{
	json_auto_t *services = json_pack("[O]", body);

	(void)call;
	view_backends(services);
}

static enum exit_code run(const struct invocation *call)
{
	static const char *const actions[] = {"list", "drain", "undrain", NULL};
	const char *action = call->arguments[0];

	if (!strcmp(action, "list") && call->argument_count <= 2)
		return converse_services(call, render_all, render_one);
	if (!strcmp(action, "drain") && call->argument_count == 3)
		return change(call, true);
	if (!strcmp(action, "undrain") && call->argument_count == 3)
		return change(call, false);
	return complain_action(call, action, actions);
}

const struct command command_backend = {
	.name = "backend",
	.synopsis = "list [SERVICE] | drain SERVICE BACKEND|VARIANT | undrain SERVICE BACKEND|VARIANT",
	.summary = "show backends and their health, or keep new connections off them",
	.help = "A drained backend gets no new connections; what becomes of its live ones is drain.on_change's to "
		"say.\n"
		"BACKEND is ADDRESS:PORT; anything else is a VARIANT, and stands for all its backends. The last "
		"backend\n"
		"of a variant that has weight cannot be drained: change the weights first. In the list, \"-\" is a "
		"figure\n"
		"that there is not, \"~\" an estimate, and LEFTOVER counts live connections that are not where their "
		"slot\n"
		"points now.\n\n"
		"Examples:\n  headgate backend list llm\n  headgate backend drain llm 10.0.1.11:8000\n"
		"  headgate backend undrain llm 10.0.1.11:8000",
	.arguments_min = 1,
	.arguments_max = 3,
	.run = run,
};
