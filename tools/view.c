// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "view.h"

#include <string.h>

void view_listing(const struct listing *l)
{
	if (listing_print(l, stdout) < 0)
		complain_memory();
}

void view_add_traffic(struct listing *l, const json_t *counted)
{
	char text[QUANTITY_SIZE];

	listing_add(l, "%s", format_count(member_count(counted, "opened"), text));
	listing_add(l, "%s", format_count(member_count(counted, "client_packets"), text));
	listing_add(l, "%s", format_bytes(member_count(counted, "client_bytes"), text));
	listing_add(l, "%s", format_count(member_count(counted, "server_packets"), text));
	listing_add(l, "%s", format_bytes(member_count(counted, "server_bytes"), text));
}

void view_tracked(const json_t *service)
{
	const json_t *slots = json_object_get(service, "slots");
	unsigned long long tracked = member_count(slots, "tracked");
	char text[QUANTITY_SIZE];

	if (!tracked)
		return;
	printf("%s: %llu of %u slots are tracked", member_text(service, "name"), tracked, SLOTS);
	if (json_is_number(json_object_get(slots, "settles_in_s")))
		printf(" and settle in %s", format_seconds(member_number(slots, "settles_in_s"), text));
	putchar('\n');
}

void view_drops(const json_t *service)
{
	json_t *drops = json_object_get(service, "drops"), *count;
	const char *reason, *separator = "";

	json_object_foreach(drops, reason, count)
	{
		if (!json_integer_value(count))
			continue;
		if (!*separator)
			printf("%s: dropped: ", member_text(service, "name"));
		printf("%s%s %lld", separator, reason, (long long)json_integer_value(count));
		separator = ", ";
	}
	if (*separator)
		putchar('\n');
}

void view_change(const struct invocation *call, const json_t *body)
{
	static const char *const headings[] = {"VARIANT", ">WAS", ">IS", ">SHARE", ">SLOTS", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service = json_object_get(body, "service"), *was = json_object_get(body, "was"), *variant;
	unsigned long long moved = member_count(body, "moved_slots");
	char text[QUANTITY_SIZE];
	size_t i;

	(void)call;
	json_array_foreach(json_object_get(service, "variants"), i, variant)
	{
		const char *name = member_text(variant, "name");

		listing_add(l, "%s", name);
		listing_add(l, "%llu", member_count(was, name));
		listing_add(l, "%llu", member_count(variant, "weight"));
		listing_add(l, "%s", format_share(member_number(variant, "share"), text));
		listing_add(l, "%llu", member_count(variant, "slots"));
	}
	view_listing(l);
	printf("\n%s: %llu of %u slots moved", member_text(service, "name"), moved, SLOTS);
	if (moved && !strcmp(member_text(service, "forward"), "nat"))
		fputs("; none is tracked, since nat remembers every connection anyway", stdout);
	else if (moved)
		fputs("; older connections in them stay where they are", stdout);
	putchar('\n');
	view_tracked(service);
}

void view_cohorts(const json_t *services)
{
	static const char *const headings[] = {"SERVICE", "SOURCE", "VARIANT", "SET BY", "STATE", NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service, *cohort;
	size_t i, j, count = 0;

	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "cohorts"), j, cohort)
		{
			bool by_command = json_is_true(json_object_get(cohort, "by_command"));

			listing_add(l, "%s", member_text(service, "name"));
			listing_add(l, "%s", member_text(cohort, "source"));
			listing_add(l, "%s", member_text(cohort, "variant"));
			listing_add(l, "%s", by_command ? "command" : "configuration");
			listing_add(l, "%s", member_text(cohort, "state"));
			count++;
		}
	}
	if (count)
		view_listing(l);
	else
		puts("no cohort");
}
