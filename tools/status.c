// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "commands.h"
#include "rollout_view.h"
#include "view.h"

/* How the programs run on an interface, and why where that was decided by `auto`. */
static void print_interface(const json_t *interface)
{
	const json_t *chained = json_object_get(interface, "chained"), *reason = json_object_get(interface, "reason");

	printf("interface %s: ", member_text(interface, "name"));
	if (strcmp(member_text(interface, "hook"), "tc") == 0)
		printf("TC");
	else if (json_is_string(reason))
		printf("%s XDP", member_text(interface, "mode"));
	else
		printf("no program");
	if (json_is_object(chained))
		printf(", in front of '%s' (id %llu)", member_text(chained, "name"), member_count(chained, "id"));
	if (json_is_string(reason))
		printf(" (%s)", json_string_value(reason));
	putchar('\n');
}

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
	putchar('\n');
	json_array_foreach(json_object_get(body, "interfaces"), i, interface) print_interface(interface);
	printf("flows: half-open %llu of %llu, established %llu of %llu; source ports %llu of %llu\n",
	       member_count(flows, "half_open"), member_count(flows, "half_open_max"),
	       member_count(flows, "established"), member_count(flows, "established_max"),
	       member_count(flows, "source_ports"), member_count(flows, "source_ports_max"));
}

static void render(const struct invocation *call, const json_t *body)
{
	const json_t *services = json_object_get(body, "services"), *item;
	size_t i;

	print_head(body);
	view_split(services, true);
	view_estimates(services);
	putchar('\n');
	rollout_view_going_on(call, NULL);
	json_array_foreach(services, i, item) view_tracked(item);
	json_array_foreach(services, i, item) view_leftover(item);
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
	.help = "Shows the daemon, its data path, each variant of each service, slots that are still tracked, packets\n"
		"that were dropped and what needs attention. Of a variant: its weight, its share of the slots and of\n"
		"the new connections since the daemon started, live connections, new ones per second, the share of\n"
		"errors, and the time to the first byte. \"-\": there is no such figure; \"~\": an estimate.\n\n"
		"Example:\n  headgate status",
	.run = run,
};
