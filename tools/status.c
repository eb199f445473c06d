// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "commands.h"
#include "view.h"

static void print_head(const json_t *body)
{
	const json_t *flows = json_object_get(body, "flows"), *interface;
	char uptime[QUANTITY_SIZE];
	size_t i;

	printf("headgated %s, pid %llu, up %s; configuration %s\n", member_text(body, "version"),
	       member_count(body, "pid"), format_seconds(member_number(body, "uptime_s"), uptime),
	       member_text(body, "config"));
	printf("data path: %s (ABI %llu)", json_is_true(json_object_get(body, "adopted")) ? "adopted" : "loaded anew",
	       member_count(body, "abi"));
	json_array_foreach(json_object_get(body, "interfaces"), i, interface)
		printf("%s%s (%s, %s)", i ? ", " : ", on ", member_text(interface, "name"),
		       member_text(interface, "hook"), member_text(interface, "mode"));
	printf("\nflows: half-open %llu of %llu, established %llu of %llu; source ports %llu of %llu\n\n",
	       member_count(flows, "half_open"), member_count(flows, "half_open_max"),
	       member_count(flows, "established"), member_count(flows, "established_max"),
	       member_count(flows, "source_ports"), member_count(flows, "source_ports_max"));
}

static void print_variants(const json_t *services)
{
	static const char *const headings[] = {"SERVICE", "VARIANT", ">WEIGHT", ">SHARE", VIEW_TRAFFIC_HEADINGS, NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service, *variant;
	char share[QUANTITY_SIZE];
	size_t i, j;

	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "variants"), j, variant)
		{
			listing_add(l, "%s", member_text(service, "name"));
			listing_add(l, "%s", member_text(variant, "name"));
			listing_add(l, "%llu", member_count(variant, "weight"));
			listing_add(l, "%s", format_share(member_number(variant, "share"), share));
			view_add_traffic(l, variant);
		}
	}
	view_listing(l);
}

static void render(const struct invocation *call, const json_t *body)
{
	const json_t *services = json_object_get(body, "services"), *item;
	size_t i;

	(void)call;
	print_head(body);
	print_variants(services);
	putchar('\n');
	json_array_foreach(services, i, item) view_tracked(item);
	json_array_foreach(services, i, item) view_drops(item);
	json_array_foreach(json_object_get(body, "warnings"), i, item)
		printf("warning: %s\n", json_string_value(item) ?: "-");
}

static enum exit_code run(const struct invocation *call)
{
	return converse(call, "GET", "/v1/status", NULL, render);
}

const struct command command_status = {
	.name = "status",
	.synopsis = "",
	.summary = "everything on one screen",
	.help = "Shows the daemon, its data path, what each variant of each service gets, slots that are still\n"
		"tracked, packets that were dropped and what needs attention.\n\n"
		"Example:\n  headgate status",
	.run = run,
};
