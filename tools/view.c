// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "view.h"

#include <string.h>
#include <time.h>

#include "text.h"

void view_listing(const struct listing *l)
{
	if (listing_print(l, stdout) < 0)
		complain_memory();
}

/* Whether any variant has the figure: one that the service cannot have is absent in all. */
static bool any_variant_has(const json_t *services, const char *path)
{
	const json_t *service, *variant;
	size_t i, j;

	json_array_foreach(services, i, service) json_array_foreach(json_object_get(service, "variants"), j,
								    variant) if (figure_at(variant, path)) return true;
	return false;
}

void view_variants(const json_t *services, bool named, const struct figure figures[], size_t count)
{
	static const char *const leading[] = {"SERVICE", "VARIANT", NULL};
	_cleanup_(listing_freep) struct listing *l = figures_open(leading + !named, figures, count);
	const json_t *service, *variant;
	size_t i, j;

	if (!any_variant_has(services, figures[0].path))
		return;
	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "variants"), j, variant)
		{
			if (named)
				listing_add(l, "%s", member_text(service, "name"));
			listing_add(l, "%s", member_text(variant, "name"));
			figures_add(l, figures, count, service, variant);
		}
	}
	putchar('\n');
	view_listing(l);
}

void view_split(const json_t *services, bool named)
{
	static const struct figure figures[] = {
		{">WEIGHT", FIGURE_COUNT, "weight"},
		{">SHARE", FIGURE_SHARE, "share"},
		{">NEW SHARE", FIGURE_SHARE, "new_share"},
		{">ACTIVE", FIGURE_ESTIMATE, "active"},
		{">RATE", FIGURE_RATE, "rate"},
		{">ERRORS", FIGURE_SHARE, "measured.error_rate"},
		{">FIRST BYTE P50", FIGURE_TIME, "measured.first_byte_s.p50"},
		{">P95", FIGURE_TIME, "measured.first_byte_s.p95"},
		{">P99", FIGURE_TIME, "measured.first_byte_s.p99"},
	};

	view_variants(services, named, figures, ARRAY_SIZE(figures));
}

/* Only TCP connections are measured, and so only their counts can be estimates. */
static bool is_estimated(const json_t *service)
{
	json_auto_t *services = json_pack("[O]", service);

	return json_is_false(figure_at(service, "sampled.exact")) && any_variant_has(services, "measured");
}

void view_estimates(const json_t *services)
{
	const json_t *service;
	size_t i;

	json_array_foreach(services, i, service)
	{
		if (!is_estimated(service))
			continue;
		printf("~ estimated from 1 in %llu connections",
		       member_count(json_object_get(service, "sampled"), "one_in"));
		if (json_array_size(services) > 1)
			printf(" of %s", member_text(service, "name"));
		putchar('\n');
	}
}

const char *view_policy(const json_t *service, const char *occasion, char text[POLICY_SIZE])
{
	const json_t *drain = json_object_get(service, "drain");
	bool reset = !strcmp(member_text(drain, occasion), "reset") && !strcmp(member_text(service, "protocol"), "tcp");

	if (reset)
		snprintf(text, POLICY_SIZE, "are reset, %g %% of them each second",
			 member_number(drain, "pace_per_s") * 100);
	else
		snprintf(text, POLICY_SIZE, "stay until they end");
	return text;
}

void view_leftover(const json_t *service)
{
	unsigned long long leftover = member_count(json_object_get(service, "drain"), "leftover");

	if (leftover)
		printf("%s: live connections that are not where their slot points now: %llu\n",
		       member_text(service, "name"), leftover);
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
	char text[QUANTITY_SIZE], policy[POLICY_SIZE];
	size_t i;

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
	if (moved)
		printf("; older connections in them %s",
		       view_policy(service, call->rollback ? "on_rollback" : "on_change", policy));
	if (moved && !strcmp(member_text(service, "forward"), "nat"))
		fputs("; none is tracked, since nat remembers every connection anyway", stdout);
	putchar('\n');
	view_tracked(service);
}

#define EXPIRY_SIZE (QUANTITY_SIZE + 4)

/* "in 3h", "now", or what @instant is where it is none. */
static const char *format_expiry(const char *instant, char text[EXPIRY_SIZE])
{
	char left[QUANTITY_SIZE];
	int64_t at_s;

	if (text_instant(instant, &at_s))
		return instant;
	at_s -= time(NULL);
	if (at_s <= 0)
		return "now";
	snprintf(text, EXPIRY_SIZE, "in %s", format_seconds(at_s, left));
	return text;
}

void view_cohorts(const json_t *services)
{
	static const char *const headings[] = {"SERVICE", "SOURCE",  "VARIANT", "SET BY", "STATE",
					       "OWNER",   "EXPIRES", "NOTE",    NULL};
	_cleanup_(listing_freep) struct listing *l = listing_open(headings);
	const json_t *service, *cohort;
	size_t i, j, count = 0;

	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "cohorts"), j, cohort)
		{
			bool by_command = json_is_true(json_object_get(cohort, "by_command"));
			char text[EXPIRY_SIZE];

			listing_add(l, "%s", member_text(service, "name"));
			listing_add(l, "%s", member_text(cohort, "source"));
			listing_add(l, "%s", member_text(cohort, "variant"));
			listing_add(l, "%s", by_command ? "command" : "configuration");
			listing_add(l, "%s", member_text(cohort, "state"));
			listing_add(l, "%s", member_text(cohort, "owner"));
			listing_add(l, "%s", format_expiry(member_text(cohort, "expires"), text));
			listing_add(l, "%s", member_text(cohort, "note"));
			count++;
		}
	}
	if (count)
		view_listing(l);
	else
		puts("no cohort");
}
