// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is in force, as JSON and for people. The words for enums are here, as nothing else says them. */
#include <stdio.h>

#include "decap.h"
#include "util.h"

static const char *const outcome_names[DECAP_OUTCOMES] = {
	[DECAP_IPIP] = "ipip",
	[DECAP_GUE] = "gue",
	[DECAP_DROP_MALFORMED] = "malformed",
	[DECAP_DROP_FRAGMENT] = "fragment",
	[DECAP_DROP_GUE_VERSION] = "gue_version",
	[DECAP_DROP_GUE_CONTROL] = "gue_control",
	[DECAP_DROP_GUE_OPTIONS] = "gue_options",
	[DECAP_DROP_PROTOCOL] = "protocol",
	[DECAP_DROP_VERSION] = "version",
	[DECAP_DROP_DESTINATION] = "destination",
	[DECAP_DROP_SOURCE] = "source",
	[DECAP_DROP_ECN] = "ecn",
	[DECAP_DROP_AGGREGATED] = "aggregated",
	[DECAP_DROP_FAILED] = "failed",
};

const char *name_of_mode(enum decap_mode mode)
{
	static const char *const names[MODES] = {
		[MODE_AUTO] = "auto", [MODE_NATIVE] = "native", [MODE_GENERIC] = "generic",
		[MODE_TC] = "tc",     [MODE_NONE] = "none",
	};

	return names[mode];
}

const char *name_of_outcome(enum decap_outcome outcome)
{
	return outcome_names[outcome];
}

static json_t *list_json(const struct prefixes *list)
{
	json_t *texts = json_array();
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(texts, json_string(prefix_format(&list->item[i], text)));
	return texts;
}

static json_t *addresses_json(const struct prefixes *list)
{
	json_t *texts = json_array();
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(texts, json_string(address_format(&list->item[i].address, text)));
	return texts;
}

json_t *decap_json(const struct decap *d)
{
	json_t *decapsulated = json_object(), *dropped = json_object();

	for (size_t i = 0; i < DECAP_OUTCOMES; i++)
		json_object_set_new(i <= DECAP_GUE ? decapsulated : dropped, name_of_outcome(i),
				    json_integer(d->outcome[i]));
	return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "interface", d->interface, "mode",
			 name_of_mode(d->mode), "port", d->port, "vips", addresses_json(&d->vips), "addresses",
			 addresses_json(&d->addresses), "sources", list_json(&d->sources), "decapsulated", decapsulated,
			 "dropped", dropped, "hints", host_hints(d));
}

static void print_list(const char *title, const json_t *texts, const char *if_none)
{
	const json_t *text;
	size_t i;

	printf("  %-10s", title);
	json_array_foreach(texts, i, text) printf("%s%s", i ? " " : "", json_string_value(text));
	puts(json_array_size(texts) ? "" : if_none);
}

/* Counts that are zero are left out where @all is not set. */
static void print_counts(const char *title, json_t *counts, bool all)
{
	const char *name;
	json_t *count;
	size_t shown = 0;

	printf("  %-10s", title);
	json_object_foreach(counts, name, count) if (all || json_integer_value(count))
		printf("%s%s %" JSON_INTEGER_FORMAT, shown++ ? ", " : "", name, json_integer_value(count));
	puts(shown ? "" : "none");
}

static void print_interface(const json_t *d)
{
	const json_t *text;
	size_t i;

	printf("%s: %s, GUE on port %" JSON_INTEGER_FORMAT "\n", json_string_value(json_object_get(d, "interface")),
	       json_string_value(json_object_get(d, "mode")), json_integer_value(json_object_get(d, "port")));
	print_list("VIPs", json_object_get(d, "vips"), "none");
	print_list("addresses", json_object_get(d, "addresses"), "none");
	print_list("sources", json_object_get(d, "sources"), "any");
	print_counts("packets", json_object_get(d, "decapsulated"), true);
	print_counts("dropped", json_object_get(d, "dropped"), false);
	json_array_foreach(json_object_get(d, "hints"), i, text) printf("  hint: %s\n", json_string_value(text));
}

void print_table(const json_t *interfaces)
{
	const json_t *d;
	size_t i;

	json_array_foreach(interfaces, i, d) print_interface(d);
	if (!json_array_size(interfaces))
		puts("nothing is attached; `headgate-decap attach IFACE --vip ADDRESS` does that");
}
