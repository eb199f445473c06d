// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a service may have besides: cohorts, NAT sources, drain times. */
#include "config_build.h"

#include <errno.h>
#include <string.h>

#include "text.h"

#define COHORTS_MAX 4096U
#define COHORTS_HINT "a list, as [{source: 10.9.0.0/16, variant: canary}]"
#define PORTS_HINT "the first and last source port, each from 1024 to 65535, as 10000-32767"
#define PORT_MIN 1024
#define DEFAULT_PORT_MIN 10000
#define DEFAULT_PORT_MAX 32767
#define DEFAULT_DRAIN_TIMEOUT_S 600
#define DEFAULT_DRAIN_LIMIT_S 3600

static void add_cohort(struct builder *b, struct service_model *s, const struct field *source,
		       const struct field *variant, const struct prefix *prefix, const char *name, yaml_mark_t *marks)
{
	const struct field *wrong = source;
	struct refusal why;
	int index, err;

	for (size_t i = 0; i < s->cohort_count; i++) {
		char mine[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];

		if (!prefix_overlaps(&s->cohorts[i].source, prefix))
			continue;
		reader_problem(b->reader, source->node->start_mark,
			       "cohort %s of %s overlaps cohort %s (line %zu): write "
			       "prefixes of which none contains another",
			       prefix_format(prefix, mine), s->name, prefix_format(&s->cohorts[i].source, other),
			       marks[i].line + 1);
		return;
	}
	err = service_add_cohort(s, prefix, name, false, &why);
	if (!err) {
		marks[s->cohort_count - 1] = source->node->start_mark;
		return;
	}
	index = service_find_variant(s, name);
	if (index < 0 || !s->variants[index].backend_count)
		wrong = variant;
	reader_problem(b->reader, wrong->node->start_mark, "%s", why.text);
}

static void read_cohort(struct builder *b, struct service_model *s, const struct field *f, bool variants_known,
			yaml_mark_t *marks)
{
	static const char source_hint[] = "a prefix with no bits set beyond its length, as 10.9.0.0/16";
	struct field fields[] = {
		{.key = "source", .required = "source: 10.9.0.0/16"},
		{.key = "variant", .required = "variant: with the name of one of the service's variants"},
	};
	char title[NAME_SIZE + 32];
	struct prefix prefix;
	const char *source, *variant;

	snprintf(title, sizeof(title), "a cohort of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	if (reader_text(b->reader, &fields[0], source_hint, &source))
		return;
	if (prefix_parse(source, &prefix)) {
		reader_refuse(b->reader, &fields[0], source_hint);
		return;
	}
	if (reader_text(b->reader, &fields[1], "the name of one of the service's variants", &variant))
		return;
	if (!variants_known || address_is_zero(&s->vip.address))
		return;
	if (!text_is_name(variant))
		reader_refuse(b->reader, &fields[1], "the name of one of the service's variants");
	else
		add_cohort(b, s, &fields[0], &fields[1], &prefix, variant, marks);
}

int build_cohorts(struct builder *b, struct service_model *s, const struct field *f, bool variants_known)
{
	_cleanup_free_ yaml_mark_t *marks = NULL;
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, COHORTS_HINT, &items, &count))
		return 0;
	if (count > COHORTS_MAX) {
		reader_problem(b->reader, f->at, "%s has more than %u cohorts: join prefixes that are neighbours",
			       f->of, COHORTS_MAX);
		return 0;
	}
	marks = calloc(count + 1, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "cohort", f->of);

		read_cohort(b, s, &item, variants_known, marks);
	}
	return 0;
}

static void add_source(struct builder *b, struct service_model *s, const struct field *f)
{
	bool ipv4 = address_is_ipv4(&s->vip.address);
	struct address source;

	if (build_address(b, f, &source))
		return;
	if (!address_is_zero(&s->vip.address) && address_is_ipv4(&source) != ipv4) {
		reader_problem(b->reader, f->node->start_mark,
			       "%s of %s is not of the service's family: write an %s address, "
			       "as the service's is",
			       f->key, f->of, ipv4 ? "IPv4" : "IPv6");
		return;
	}
	for (size_t i = 0; i < s->source_count; i++) {
		if (address_equal(&s->sources[i], &source)) {
			reader_problem(b->reader, f->node->start_mark, "%s of %s is there twice: write it once", f->key,
				       f->of);
			return;
		}
	}
	s->sources[s->source_count++] = source;
}

static void read_sources(struct builder *b, struct service_model *s, const struct field *f)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, "a list of addresses of this host, as [10.0.1.5]", &items, &count))
		return;
	if (count > SOURCES_MAX) {
		reader_problem(b->reader, f->node->start_mark, "%s has %zu sources: write at most %u", f->of, count,
			       SOURCES_MAX);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct field item = reader_item(b->reader, items[i], "a source", f->of);

		add_source(b, s, &item);
	}
}

static void read_ports(struct builder *b, struct service_model *s, const struct field *f)
{
	char first[sizeof("65535")] = "";
	const char *text, *dash;
	uint32_t min, max;

	if (reader_text(b->reader, f, PORTS_HINT, &text))
		return;
	dash = strchrnul(text, '-');
	if ((size_t)(dash - text) < sizeof(first))
		memcpy(first, text, dash - text);
	if (!*dash || text_number(first, UINT16_MAX, &min) || text_number(dash + 1, UINT16_MAX, &max) || min > max ||
	    min < PORT_MIN) {
		reader_refuse(b->reader, f, PORTS_HINT);
		return;
	}
	s->port_min = min;
	s->port_max = max;
}

void build_nat(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "sources"}, {.key = "ports"}};
	char title[NAME_SIZE + 32];

	s->port_min = DEFAULT_PORT_MIN;
	s->port_max = DEFAULT_PORT_MAX;
	snprintf(title, sizeof(title), "nat of %s", s->name);
	if (f->node && s->forward != FORWARD_NAT)
		reader_problem(b->reader, f->at,
			       "nat of %s has no meaning with forward: dnat: remove it, or write forward: "
			       "nat",
			       f->of);
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	read_sources(b, s, &fields[0]);
	read_ports(b, s, &fields[1]);
	return;
}

void build_drain(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "timeout"}, {.key = "limit"}};
	char title[NAME_SIZE + 32];

	s->drain_timeout_s = DEFAULT_DRAIN_TIMEOUT_S;
	s->drain_limit_s = DEFAULT_DRAIN_LIMIT_S;
	snprintf(title, sizeof(title), "drain of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return;
	reader_duration(b->reader, &fields[0], &s->drain_timeout_s);
	/* A limit that is not written gives way to a long timeout; one that is written must fit it. */
	if (s->drain_limit_s < s->drain_timeout_s)
		s->drain_limit_s = s->drain_timeout_s;
	if (!reader_duration(b->reader, &fields[1], &s->drain_limit_s) && s->drain_limit_s < s->drain_timeout_s)
		reader_problem(b->reader, fields[1].node->start_mark,
			       "limit of %s is shorter than its timeout (%us): write "
			       "at least as much",
			       title, s->drain_timeout_s);
}
