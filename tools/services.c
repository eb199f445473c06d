// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "commands.h"
#include "view.h"

#define VIP_SIZE 64

static const char *vip_text(const json_t *service, char text[VIP_SIZE])
{
	const char *address = member_text(service, "address");

	snprintf(text, VIP_SIZE, strchr(address, ':') ? "[%s]:%llu" : "%s:%llu", address,
		 member_count(service, "port"));
	return text;
}

/* "blue=90 green=10". To be freed; NULL: out of memory. */
static char *weights_text(const json_t *service)
{
	char *text = NULL;
	size_t i, length;
	FILE *sink = open_memstream(&text, &length);
	const json_t *variant;

	if (!sink)
		return NULL;
	json_array_foreach(json_object_get(service, "variants"), i, variant)
		fprintf(sink, "%s%s=%llu", i ? " " : "", member_text(variant, "name"), member_count(variant, "weight"));
	fclose(sink);
	return text;
}

static void render_list(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"SERVICE",  "ADDRESS", "PROTOCOL",       "FORWARD",
					       "AFFINITY", "WEIGHTS", ">TRACKED SLOTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service;
	size_t i;

	(void)call;
	json_array_foreach(json_object_get(body, "services"), i, service)
	{
		_cleanup_free_ char *weights = weights_text(service);
		char vip[VIP_SIZE];

		listing_add(l, "%s", member_text(service, "name"));
		listing_add(l, "%s", vip_text(service, vip));
		listing_add(l, "%s", member_text(service, "protocol"));
		listing_add(l, "%s", member_text(service, "forward"));
		listing_add(l, "%s", member_text(service, "affinity"));
		listing_add(l, "%s", weights ?: "-");
		listing_add(l, "%llu", member_count(json_object_get(service, "slots"), "tracked"));
	}
	view_listing(l);
}

static void print_variants(const json_t *variants)
{
	static const char *const headings[] = {"VARIANT", ">WEIGHT", ">SHARE", ">SLOTS", VIEW_TRAFFIC_HEADINGS, NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *variant;
	char share[QUANTITY_SIZE];
	size_t i;

	json_array_foreach(variants, i, variant)
	{
		listing_add(l, "%s", member_text(variant, "name"));
		listing_add(l, "%llu", member_count(variant, "weight"));
		listing_add(l, "%s", format_share(member_number(variant, "share"), share));
		listing_add(l, "%llu", member_count(variant, "slots"));
		view_add_traffic(l, variant);
	}
	view_listing(l);
}

static void print_backends(const json_t *variants)
{
	static const char *const headings[] = {"BACKEND", "VARIANT",  "STATE",     ">WEIGHT",
					       ">SLOTS",  "NEXT HOP", "INTERFACE", VIEW_TRAFFIC_HEADINGS,
					       NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *variant, *backend;
	size_t i, j;

	json_array_foreach(variants, i, variant)
	{
		json_array_foreach(json_object_get(variant, "backends"), j, backend)
		{
			listing_add(l, "%s", member_text(backend, "address"));
			listing_add(l, "%s", member_text(variant, "name"));
			listing_add(l, "%s", member_text(backend, "state"));
			listing_add(l, "%llu", member_count(backend, "weight"));
			listing_add(l, "%llu", member_count(backend, "slots"));
			listing_add(l, "%s", member_text(backend, "next_hop"));
			listing_add(l, "%s", member_text(backend, "interface"));
			view_add_traffic(l, backend);
		}
	}
	view_listing(l);
}

static void render_one(const struct invocation *call, const json_t *body)
{
	const json_t *variants = json_object_get(body, "variants"), *cohorts = json_object_get(body, "cohorts");
	char vip[VIP_SIZE];

	(void)call;
	printf("%s: %s %s, %s, affinity by %s\n\n", member_text(body, "name"), member_text(body, "protocol"),
	       vip_text(body, vip), member_text(body, "forward"), member_text(body, "affinity"));
	print_variants(variants);
	putchar('\n');
	print_backends(variants);
	putchar('\n');
	if (json_array_size(cohorts)) {
		json_auto_t *services = json_pack("[O]", body);

		view_cohorts(services);
		putchar('\n');
	}
	printf("flow state: %llu packets looked for it, %llu found none, %llu found no room\n",
	       member_count(body, "flow_lookups"), member_count(body, "flow_misses"),
	       member_count(body, "flow_overflows"));
	view_tracked(body);
	view_drops(body);
}

static enum exit_code run(const struct invocation *call)
{
	_cleanup_free_ char *path = NULL;

	if (!call->argument_count)
		return converse(call, "GET", "/v1/services", NULL, render_list);
	path = service_path(call->arguments[0], "");
	return converse(call, "GET", path, NULL, render_one);
}

const struct command command_services = {
	.name = "services",
	.synopsis = "[NAME]",
	.summary = "the services, or one with its variants and backends",
	.help = "Lists the services. With NAME: that service's variants, backends, cohorts, use of flow state\n"
		"and dropped packets.\n\n"
		"Example:\n  headgate services llm",
	.arguments_max = 1,
	.run = run,
};
