// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "commands.h"
#include "model.h"
#include "view.h"

#define SERVICES_MAX 4096U /* of a configuration */

static void render_many(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"SERVICE", "VARIANT", ">WAS", ">IS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *switched = json_object_get(body, "switched"), *one;
	const char *variant;
	json_t *weight;
	size_t i;

	(void)call;
	json_array_foreach(switched, i, one)
	{
		json_object_foreach(json_object_get(one, "weights"), variant, weight)
		{
			listing_add(l, "%s", member_text(one, "service"));
			listing_add(l, "%s", variant);
			listing_add(l, "%llu", member_count(json_object_get(one, "was"), variant));
			listing_add(l, "%lld", (long long)json_integer_value(weight));
		}
	}
	view_listing(l);
	printf("\n%zu services: %llu slots moved\n", json_array_size(switched), member_count(body, "moved_slots"));
}

static enum exit_code switch_many(const struct invocation *call, json_t *request)
{
	size_t names = call->argument_count - 1;
	json_t *services;

	if (call->all) {
		json_object_set_new(request, "all", json_true());
		return converse(call, "POST", "/v1/switch", request, render_many);
	}
	services = json_array();
	for (size_t i = 0; i < names; i++)
		if (json_array_append_new(services, json_string(call->arguments[i])))
			return json_decref(services), complain_usage(call, "a service's name is not UTF-8");
	json_object_set_new(request, "services", services);
	return converse(call, "POST", "/v1/switch", request, render_many);
}

static enum exit_code run(const struct invocation *call)
{
	const char *variant = call->arguments[call->argument_count - 1];
	json_auto_t *request = json_pack("{s:s}", "to", variant);
	_cleanup_free_ char *path = NULL;

	if (call->all ? call->argument_count != 1 : call->argument_count < 2)
		return complain_usage(call, "say SERVICE VARIANT, several services and a VARIANT, or --all VARIANT");
	if (!request)
		return complain_usage(call, "the variant's name is not UTF-8");
	if (call->rollback)
		json_object_set_new(request, "rollback", json_true());
	if (call->all || call->argument_count > 2)
		return switch_many(call, request);
	path = service_path(call->arguments[0], "/switch");
	return converse(call, "POST", path, request, view_change);
}

const struct command command_switch = {
	.name = "switch",
	.synopsis = "SERVICE... VARIANT [--rollback] | --all VARIANT [--rollback]",
	.summary = "give one variant all new connections at once",
	.help = "VARIANT gets all the weight, the others none, in one step that no packet sees half done. Switching\n"
		"back is the same command with the other name. Of several services all are switched or none, one "
		"right\n"
		"after the other; --all are those that have such a variant. What becomes of older connections whose\n"
		"slot moves is the configuration's to say: drain.on_change, or drain.on_rollback with --rollback.\n\n"
		"Examples:\n  headgate switch llm green\n  headgate switch llm blue --rollback\n"
		"  headgate switch --all green",
	.options = OPTION_ROLLBACK | OPTION_ALL,
	.arguments_min = 1,
	.arguments_max = 1 + SERVICES_MAX,
	.run = run,
};
