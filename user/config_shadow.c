// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* "shadow" of a service: who gets copies of its connections, and of which. */
#include "config_build.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "text.h"

#define SHADOW_HINT "{backends: [10.0.4.11:8000], sample: 10}"
#define BACKENDS_HINT "a list, as [10.0.4.11:8000]"
#define BACKEND_HINT "ADDRESS:PORT, as 10.0.4.11:8000 or in quotes \"[fd00::4]:8000\""
#define SAMPLE_HINT "how many percent of connections are mirrored, from 0 to 100 in steps of 0.01, as 10 or 0.5"
#define SHARE_HINT "a share from 0.01% to 100%, as 5% or 0.5%"
#define RULES_HINT "a list of prefixes, as [10.9.0.0/16]"
#define RULE_HINT "a prefix with no bits set beyond its length, as 10.9.0.0/16"
#define MEMORY_HINT "an amount of memory from 64KiB to 64GiB, as 64MiB"
#define PAUSE_HINT "off, or {lost: 5%, unanswered: 50%, of: 200}"
#define MEMORY_MIN_BYTES (64ULL << 10)
#define MEMORY_MAX_BYTES (64ULL << 30)
#define DSCP_MAX 63
#define PACKETS_MAX 100000000
#define SEGMENTS_MAX 65536
#define PAUSE_OF_MAX 1000000

static const struct shadow_model defaults = {
	.present = true,
	.sample = 0,
	.port_min = 1024,
	.port_max = 65535,
	.linger_s = 10,
	.memory_bytes = 64ULL << 20,
	.connection_memory_bytes = 16ULL << 20,
	.connection_segments = 256,
	.pause = {.of = 200, .lost = 500, .unanswered = 5000},
};

enum {
	BACKENDS,
	SAMPLE,
	ENGINE,
	ALWAYS,
	NEVER,
	SOURCES,
	PORTS,
	DSCP,
	PACKETS,
	LINGER,
	MEMORY,
	CONNECTION_MEMORY,
	CONNECTION_SEGMENTS,
	PAUSE,
	KEYS
};

static bool is_of_family(struct builder *b, const struct service_model *s, const struct field *f,
			 const struct address *a)
{
	bool ipv4 = address_is_ipv4(&s->vip.address);

	if (address_is_zero(&s->vip.address) || address_is_ipv4(a) == ipv4)
		return true;
	reader_problem(b->reader, f->node->start_mark,
		       "%s of %s is not of the service's family: write an %s %s, as the service's is", f->key, f->of,
		       ipv4 ? "IPv4" : "IPv6", strcmp(f->key, "a backend") ? "prefix" : "address");
	return false;
}

/* --- backends --- */

static void read_endpoint(struct builder *b, struct service_model *s, const struct field *f)
{
	struct endpoint endpoint;
	const char *text, *kind;

	if (reader_text(b->reader, f, BACKEND_HINT, &text))
		return;
	if (endpoint_parse(text, &endpoint)) {
		reader_refuse(b->reader, f, BACKEND_HINT);
		return;
	}
	kind = unusable_address(&endpoint.address);
	if (kind) {
		reader_problem(b->reader, f->node->start_mark,
			       "backend '%s' of %s is %s: write the address of a server", text, f->of, kind);
		return;
	}
	if (!is_of_family(b, s, f, &endpoint.address))
		return;
	s->shadow.backends[s->shadow.backend_count++] = endpoint;
	build_mention(b, s, SHADOW_MENTION, &endpoint, NULL, f->node->start_mark);
}

/* In the long form of variants' backends, too; but weights and server ids mean nothing here. */
static void read_backend(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "address", .required = "address: 10.0.4.11:8000"}};
	struct field endpoint = *f;
	char title[TITLE_SIZE];

	if (build_is_bare_ipv6(b, f->node)) {
		reader_refuse(b->reader, f, BACKEND_HINT);
		return;
	}
	if (f->node->type == YAML_MAPPING_NODE) {
		snprintf(title, sizeof(title), "a backend of %s", f->of);
		if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
			return;
		endpoint.node = fields[0].node;
	}
	if (endpoint.node)
		read_endpoint(b, s, &endpoint);
}

static void read_backends(struct builder *b, struct service_model *s, const struct field *f)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, BACKENDS_HINT, &items, &count))
		return;
	if (!count || count > SHADOW_BACKENDS_MAX) {
		reader_problem(b->reader, f->node->start_mark,
			       "%s has %zu backends: write from 1 to %u, as "
			       "[10.0.4.11:8000]",
			       f->of, count, SHADOW_BACKENDS_MAX);
		return;
	}
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "a backend", f->of);

		if (build_count_backend(b, item.at))
			read_backend(b, s, &item);
	}
}

/* --- which connections --- */

static void read_percent(struct builder *b, const struct field *f, uint32_t min, const char *hint, uint32_t *ret)
{
	const char *text;
	uint32_t hundredths;

	if (reader_text(b->reader, f, hint, &text))
		return;
	if (text_percent(text, &hundredths) || hundredths < min)
		reader_refuse(b->reader, f, hint);
	else
		*ret = hundredths;
}

static void add_rule(struct builder *b, struct service_model *s, const struct field *f, enum shadow_rule rule,
		     const struct prefix *source)
{
	static const char *const words[] = {[SHADOW_NEVER] = "never", [SHADOW_ALWAYS] = "always"};
	struct shadow_model *shadow = &s->shadow;
	char mine[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < shadow->rule_count; i++) {
		if (!prefix_overlaps(&shadow->rules[i].source, source))
			continue;
		reader_problem(b->reader, f->node->start_mark,
			       "%s (%s) of %s overlaps %s (%s): write prefixes of which none contains another",
			       prefix_format(source, mine), words[rule], f->of,
			       prefix_format(&shadow->rules[i].source, other), words[shadow->rules[i].rule]);
		return;
	}
	shadow->rules[shadow->rule_count++] = (struct shadow_rule_model){*source, rule};
}

static void read_rules(struct builder *b, struct service_model *s, const struct field *f, enum shadow_rule rule)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, RULES_HINT, &items, &count))
		return;
	if (s->shadow.rule_count + count > SHADOW_RULES_MAX) {
		reader_problem(b->reader, f->at,
			       "%s has more than %u prefixes in always and never: join those that are neighbours",
			       f->of, SHADOW_RULES_MAX);
		return;
	}
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "a prefix", f->of);
		struct prefix source;
		const char *text;

		if (reader_text(b->reader, &item, RULE_HINT, &text))
			continue;
		if (prefix_parse(text, &source))
			reader_refuse(b->reader, &item, RULE_HINT);
		else if (is_of_family(b, s, &item, &source.address))
			add_rule(b, s, &item, rule, &source);
	}
}

/* --- how --- */

static void read_engine(struct builder *b, struct service_model *s, const struct field *shadow,
			const struct field *engine)
{
	static const char *const engines[] = {[SHADOW_INLINE] = "inline", [SHADOW_REPLAY] = "replay"};
	int choice = SHADOW_INLINE;

	reader_choice(b->reader, engine, engines, ARRAY_SIZE(engines), &choice);
	s->shadow.engine = choice;
	if (s->quic)
		reader_problem(b->reader, shadow->at,
			       "shadow of %s has no meaning with quic: a shadow has not the keys of the connections "
			       "that it would get copies of; remove it",
			       shadow->of);
	else if (s->protocol == IPPROTO_UDP && choice == SHADOW_REPLAY)
		reader_problem(b->reader, engine->node->start_mark,
			       "engine of %s is replay, which is for tcp: write engine: inline, or leave it out",
			       engine->of);
}

static void read_memory(struct builder *b, const struct field *f, uint64_t *ret_bytes)
{
	const char *text;
	uint64_t bytes;

	if (reader_text(b->reader, f, MEMORY_HINT, &text))
		return;
	if (text_bytes(text, &bytes) || bytes < MEMORY_MIN_BYTES || bytes > MEMORY_MAX_BYTES)
		reader_refuse(b->reader, f, MEMORY_HINT);
	else
		*ret_bytes = bytes;
}

/* What all connections get is at least what one may take, unless both are written. */
static void read_memories(struct builder *b, struct shadow_model *shadow, const struct field *all,
			  const struct field *one)
{
	read_memory(b, all, &shadow->memory_bytes);
	if (shadow->connection_memory_bytes > shadow->memory_bytes)
		shadow->connection_memory_bytes = shadow->memory_bytes;
	read_memory(b, one, &shadow->connection_memory_bytes);
	if (shadow->connection_memory_bytes > shadow->memory_bytes)
		reader_problem(b->reader, one->node->start_mark,
			       "%s of %s is more than its memory for all connections: write at most as much", one->key,
			       one->of);
}

static void read_pause(struct builder *b, struct shadow_model *shadow, const char *service, const struct field *f)
{
	enum { LOST, UNANSWERED, OF, PAUSE_KEYS };
	struct field fields[PAUSE_KEYS] = {
		[LOST] = {.key = "lost"},
		[UNANSWERED] = {.key = "unanswered"},
		[OF] = {.key = "of"},
	};
	char title[TITLE_SIZE];
	const char *text;

	if (!f->node)
		return;
	if (f->node->type != YAML_MAPPING_NODE) {
		if (reader_text(b->reader, f, PAUSE_HINT, &text))
			return;
		if (strcmp(text, "off"))
			reader_refuse(b->reader, f, PAUSE_HINT);
		else
			shadow->pause.of = 0;
		return;
	}
	snprintf(title, sizeof(title), "pause of shadow of %s", service);
	if (reader_fields(b->reader, f, title, fields, PAUSE_KEYS))
		return;
	read_percent(b, &fields[LOST], 1, SHARE_HINT, &shadow->pause.lost);
	read_percent(b, &fields[UNANSWERED], 1, SHARE_HINT, &shadow->pause.unanswered);
	reader_number(b->reader, &fields[OF], 1, PAUSE_OF_MAX, &shadow->pause.of);
}

/* Keys that only one of the engines knows. */
static void check_engine_keys(struct builder *b, const struct shadow_model *shadow, const struct field fields[KEYS])
{
	static const struct {
		int key;
		enum shadow_engine engine;
		const char *why;
	} only[] = {
		{PORTS, SHADOW_INLINE, "whose source ports the kernel chooses: remove it"},
		{CONNECTION_SEGMENTS, SHADOW_INLINE, "which counts bytes: write replay_connection_memory instead"},
		{MEMORY, SHADOW_REPLAY, "which counts segments: write connection_segments instead"},
		{CONNECTION_MEMORY, SHADOW_REPLAY, "which counts segments: write connection_segments instead"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(only); i++) {
		const struct field *f = &fields[only[i].key];

		if (f->node && only[i].engine != shadow->engine)
			reader_problem(b->reader, f->at, "%s of %s has no meaning with engine: %s, %s", f->key, f->of,
				       shadow->engine == SHADOW_REPLAY ? "replay" : "inline", only[i].why);
	}
}

static void read_limits(struct builder *b, struct service_model *s, const struct field fields[KEYS])
{
	struct shadow_model *shadow = &s->shadow;
	uint32_t dscp = 0;

	build_ports(b, &fields[PORTS], &shadow->port_min, &shadow->port_max);
	reader_number(b->reader, &fields[DSCP], 0, DSCP_MAX, &dscp);
	shadow->dscp = dscp;
	reader_number(b->reader, &fields[PACKETS], 1, PACKETS_MAX, &shadow->packets_per_second);
	reader_duration(b->reader, &fields[LINGER], &shadow->linger_s);
	reader_number(b->reader, &fields[CONNECTION_SEGMENTS], 1, SEGMENTS_MAX, &shadow->connection_segments);
	read_memories(b, shadow, &fields[MEMORY], &fields[CONNECTION_MEMORY]);
	read_pause(b, shadow, s->name, &fields[PAUSE]);
	check_engine_keys(b, shadow, fields);
}

void build_shadow(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[KEYS] = {
		[BACKENDS] = {.key = "backends", .required = "backends: [10.0.4.11:8000]"},
		[SAMPLE] = {.key = "sample", .required = "sample: 10, or sample: 0 for none yet"},
		[ENGINE] = {.key = "engine"},
		[ALWAYS] = {.key = "always"},
		[NEVER] = {.key = "never"},
		[SOURCES] = {.key = "sources"},
		[PORTS] = {.key = "ports"},
		[DSCP] = {.key = "dscp"},
		[PACKETS] = {.key = "packets_per_second"},
		[LINGER] = {.key = "linger"},
		[MEMORY] = {.key = "memory"},
		[CONNECTION_MEMORY] = {.key = "replay_connection_memory"},
		[CONNECTION_SEGMENTS] = {.key = "connection_segments"},
		[PAUSE] = {.key = "pause"},
	};
	char title[TITLE_SIZE];

	if (!f->node)
		return;
	s->shadow = defaults;
	snprintf(title, sizeof(title), "shadow of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, KEYS))
		return;
	read_engine(b, s, f, &fields[ENGINE]);
	read_backends(b, s, &fields[BACKENDS]);
	read_percent(b, &fields[SAMPLE], 0, SAMPLE_HINT, &s->shadow.sample);
	read_rules(b, s, &fields[ALWAYS], SHADOW_ALWAYS);
	read_rules(b, s, &fields[NEVER], SHADOW_NEVER);
	build_sources(b, s, &fields[SOURCES], s->shadow.sources, &s->shadow.source_count);
	read_limits(b, s, fields);
}
