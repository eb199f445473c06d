// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a service's packets reach its backends: "forward", "tunnel" and "quic". */
#include "config_build.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "names.h"

#define SOURCE_HINT                                                                                                    \
	"a prefix with no bits set beyond its length, as 198.18.0.0/15, or one of IPv4 and one of IPv6 in []"
#define QUIC_HINT "true, false, or {server_id_length: 2}"
#define DEFAULT_GUE_PORT 6080
#define IPV4_BITS 96 /* what every mapped IPv4 prefix begins with */
#define SOURCE_BITS_MIN 8

/*
 * Nobody's addresses, so that nobody's traffic is mistaken for a tunnel's and nothing comes back to one: RFC 2544 for
 * benchmarks, and the discard prefix of RFC 6666.
 */
static void set_default_sources(struct service_model *s)
{
	prefix_parse("198.18.0.0/15", &s->tunnel_source[0]);
	prefix_parse("100::/64", &s->tunnel_source[1]);
}

static int parse_source(struct builder *b, const struct field *f, struct prefix *ret)
{
	const char *text, *kind;
	struct prefix prefix;
	int err = reader_text(b->reader, f, SOURCE_HINT, &text);

	if (err)
		return err;
	if (prefix_parse(text, &prefix)) {
		reader_refuse(b->reader, f, SOURCE_HINT);
		return -EINVAL;
	}
	kind = unusable_address(&prefix.address);
	if (kind) {
		reader_problem(b->reader, f->node->start_mark, "%s of %s begins with %s: write addresses of hosts",
			       f->key, f->of, kind);
		return -EINVAL;
	}
	if (prefix.bits < SOURCE_BITS_MIN + (address_is_ipv4(&prefix.address) ? IPV4_BITS : 0)) {
		reader_problem(b->reader, f->node->start_mark, "%s of %s is '%s': write a prefix of at least %d bits",
			       f->key, f->of, text, SOURCE_BITS_MIN);
		return -EINVAL;
	}
	*ret = prefix;
	return 0;
}

static void read_source_list(struct builder *b, struct service_model *s, const struct field *f)
{
	bool given[2] = {};
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, SOURCE_HINT, &items, &count))
		return;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "a source", f->of);
		struct prefix prefix;
		int ipv6;

		if (parse_source(b, &item, &prefix))
			continue;
		ipv6 = !address_is_ipv4(&prefix.address);
		if (given[ipv6])
			reader_problem(b->reader, item.at,
				       "%s of %s is the second of its family: write one IPv4 and one IPv6 prefix",
				       item.key, item.of);
		given[ipv6] = true;
		s->tunnel_source[ipv6] = prefix;
	}
}

static void read_sources(struct builder *b, struct service_model *s, const struct field *f)
{
	struct prefix prefix;

	if (f->node && f->node->type == YAML_SEQUENCE_NODE)
		read_source_list(b, s, f);
	else if (!parse_source(b, f, &prefix))
		s->tunnel_source[!address_is_ipv4(&prefix.address)] = prefix;
}

static void read_tunnel(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "source"}, {.key = "port"}};
	uint32_t port = DEFAULT_GUE_PORT;
	char title[TITLE_SIZE];

	if (s->forward == FORWARD_IPIP)
		set_default_sources(s);
	snprintf(title, sizeof(title), "tunnel of %s", s->name);
	/* Of what is no map no field is set, and the defaults hold. */
	reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields));
	read_sources(b, s, &fields[0]);
	reader_number(b->reader, &fields[1], 1, UINT16_MAX, &port);
	if (s->forward == FORWARD_GUE)
		s->tunnel_port = port;
	else if (fields[1].node)
		reader_problem(b->reader, fields[1].at,
			       "port of %s has no meaning with forward: ipip, which has none: remove it, or write "
			       "forward: gue",
			       fields[1].of);
}

void build_forward(struct builder *b, struct service_model *s, const struct field *forward, const struct field *tunnel)
{
	static const char *const modes[] = {
		[FORWARD_NAT] = "nat",   [FORWARD_DNAT] = "dnat", [FORWARD_L2DSR] = "l2dsr",
		[FORWARD_IPIP] = "ipip", [FORWARD_GUE] = "gue",
	};
	int choice = FORWARD_NAT;

	b->forward_known = !reader_choice(b->reader, forward, modes, ARRAY_SIZE(modes), &choice);
	s->forward = choice;
	if (forward_tunnels(s->forward))
		read_tunnel(b, s, tunnel);
	else if (b->forward_known && tunnel->node)
		reader_problem(b->reader, tunnel->at,
			       "tunnel of %s has no meaning with forward: %s: remove it, or write forward: ipip or "
			       "forward: gue",
			       tunnel->of, name_of_forward(s->forward));
}

static int read_quic_map(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {{.key = "server_id_length", .required = "server_id_length: 2, or quic: true"}};
	char title[TITLE_SIZE];
	uint32_t length;
	int err;

	snprintf(title, sizeof(title), "quic of %s", s->name);
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return -EINVAL;
	err = reader_number(b->reader, &fields[0], 1, SERVER_ID_MAX, &length);
	if (err)
		return -EINVAL;
	s->server_id_bytes = length;
	return 0;
}

void build_quic(struct builder *b, struct service_model *s, const struct field *f)
{
	const char *text;

	b->quic_known = true;
	if (!f->node)
		return;
	s->quic = true;
	if (f->node->type == YAML_MAPPING_NODE) {
		b->quic_known = !read_quic_map(b, s, f);
	} else if (reader_text(b->reader, f, QUIC_HINT, &text)) {
		b->quic_known = false;
	} else if (!strcmp(text, "false")) {
		s->quic = false;
	} else if (strcmp(text, "true")) {
		reader_refuse(b->reader, f, QUIC_HINT);
		b->quic_known = false;
	}
	if (s->quic && s->protocol != IPPROTO_UDP)
		reader_problem(b->reader, f->at, "quic of %s has no meaning for tcp: remove it, or write protocol: udp",
			       f->of);
}
