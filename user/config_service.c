// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A service's address, options and variants. */
#include "config_build.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define VARIANTS_HINT "names with weight and backends, as blue: {weight: 100, backends: [10.0.1.11:8000]}"

bool is_loopback(const struct address *a)
{
	if (!address_is_ipv4(a))
		return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)a);
	return ntohl(a->word[3]) >> 24 == IN_LOOPBACKNET;
}

const char *unusable_address(const struct address *a)
{
	const struct in6_addr *ipv6 = (const struct in6_addr *)a;
	uint32_t ipv4 = ntohl(a->word[3]);

	if (is_loopback(a))
		return "a loopback address";
	if (!address_is_ipv4(a)) {
		if (IN6_IS_ADDR_UNSPECIFIED(ipv6))
			return "the unspecified address";
		return IN6_IS_ADDR_MULTICAST(ipv6) ? "a multicast address" : NULL;
	}
	if (ipv4 >> 24 == 0)
		return "an unspecified address";
	if (IN_MULTICAST(ipv4))
		return "a multicast address";
	return ipv4 == INADDR_BROADCAST ? "the broadcast address" : NULL;
}

int build_address(struct builder *b, const struct field *f, struct address *ret)
{
	static const char hint[] = "an IPv4 or IPv6 address, as 10.0.0.10 or fd00::10";
	const char *text, *kind;
	struct address address;
	int err = reader_text(b->reader, f, hint, &text);

	if (err)
		return err;
	if (address_parse(text, &address)) {
		reader_refuse(b->reader, f, hint);
		return -EINVAL;
	}
	kind = unusable_address(&address);
	if (kind) {
		reader_problem(b->reader, f->node->start_mark, "%s of %s is %s: write an address of one host", f->key,
			       f->of, kind);
		return -EINVAL;
	}
	*ret = address;
	return 0;
}

/* Returns 0 if weight and backends are known, as good or bad as each backend may be; -EINVAL or -ENOMEM. */
static int read_variant(struct builder *b, struct service_model *s, const struct field *f)
{
	struct field fields[] = {
		{.key = "weight", .required = "weight: 0, or how much of the traffic it gets"},
		{.key = "backends", .required = "backends: [10.0.1.11:8000], or [] for none"},
	};
	struct variant_model *v = &s->variants[s->variant_count++];
	char title[TITLE_SIZE];
	bool known;
	int err;

	strcpy(v->name, f->key);
	snprintf(title, sizeof(title), "variant %s of %s", f->key, s->name);
	if (reader_fields(b->reader, f, title, fields, ARRAY_SIZE(fields)))
		return -EINVAL;
	known = !reader_number(b->reader, &fields[0], 0, WEIGHT_MAX, &v->weight);
	err = build_backends(b, s, v, &fields[1]);
	if (err == -ENOMEM)
		return err;
	if (err || !known)
		return -EINVAL;
	if (v->weight && !v->backend_count)
		reader_problem(b->reader, fields[0].node->start_mark,
			       "%s has weight %u but no backends: write weight: 0, or "
			       "give it backends",
			       title, v->weight);
	return 0;
}

static bool is_repeated_variant(struct builder *b, const struct service_model *s, const struct field *f,
				const yaml_mark_t *marks)
{
	int index = service_find_variant(s, f->key);

	if (index < 0)
		return false;
	reader_problem(b->reader, f->at,
		       "variant %s of %s is written twice, first on line %zu: remove one, or rename it", f->key,
		       s->name, marks[index].line + 1);
	return true;
}

static void check_variants(struct builder *b, const struct service_model *s, const struct field *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->variant_count; i++)
		sum += s->variants[i].weight;
	if (!sum)
		reader_problem(b->reader, f->at,
			       "all weights of %s are 0, so that it would serve nobody: give at least one "
			       "variant a weight above 0",
			       s->name);
}

/* Returns 0, -EINVAL if some variant could not be read as a whole, -ENOENT, or -ENOMEM. */
static int read_variants(struct builder *b, struct service_model *s, const struct field *f)
{
	yaml_mark_t marks[VARIANTS_MAX];
	const yaml_node_pair_t *pairs;
	bool known = true;
	size_t count;
	int err = reader_map(b->reader, f, VARIANTS_HINT, &pairs, &count);

	if (err)
		return err;
	if (!count) {
		reader_problem(b->reader, f->node->start_mark, "%s has no variants: write " VARIANTS_HINT, f->of);
		return -EINVAL;
	}
	s->variants = calloc(VARIANTS_MAX, sizeof(*s->variants));
	if (!s->variants)
		return -ENOMEM;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field variant;

		if (reader_entry(b->reader, &pairs[i], f->key, &variant) ||
		    is_repeated_variant(b, s, &variant, marks)) {
			known = false;
			continue;
		}
		if (s->variant_count == VARIANTS_MAX) {
			reader_problem(b->reader, variant.at, "%s has more than %u variants: remove some", f->of,
				       VARIANTS_MAX);
			return -EINVAL;
		}
		marks[s->variant_count] = variant.at;
		err = read_variant(b, s, &variant);
		if (err == -ENOMEM)
			return err;
		known &= !err;
	}
	if (!known)
		return -EINVAL;
	check_variants(b, s, f);
	return 0;
}

/* Where clients connect. The address stays zero while it is not known. */
static void read_vip(struct builder *b, struct service_model *s, const struct field *address, const struct field *port,
		     const struct field *protocol)
{
	static const char *const protocols[] = {"tcp", "udp"};
	uint32_t number = 0;
	int choice = 0, err;

	err = reader_choice(b->reader, protocol, protocols, ARRAY_SIZE(protocols), &choice);
	s->protocol = choice ? IPPROTO_UDP : IPPROTO_TCP;
	reader_number(b->reader, port, 1, UINT16_MAX, &number);
	s->vip.port = number;
	if (!build_address(b, address, &s->vip.address) && number && err != -EINVAL)
		build_mention(b, s, VIP_VARIANT, &s->vip, NULL, address->node->start_mark);
}

static void read_affinity(struct builder *b, struct service_model *s, const struct field *f)
{
	static const char *const affinities[] = {"connection", "client"};
	int choice = AFFINITY_CONNECTION;

	reader_choice(b->reader, f, affinities, ARRAY_SIZE(affinities), &choice);
	s->affinity = choice;
}

/* Of QUIC it is known which packets open a connection. */
static void read_udp_miss(struct builder *b, struct service_model *s, const struct field *f)
{
	static const char *const misses[] = {"entry", "base"};
	int choice = UDP_MISS_ENTRY;

	if (reader_choice(b->reader, f, misses, ARRAY_SIZE(misses), &choice))
		return;
	s->udp_miss = choice;
	if (s->protocol != IPPROTO_UDP)
		reader_problem(b->reader, f->at,
			       "udp_miss of %s has no meaning for tcp: remove it, or write "
			       "protocol: udp",
			       f->of);
	else if (s->quic)
		reader_problem(b->reader, f->at, "udp_miss of %s has no meaning with quic: remove it", f->of);
}

int build_service(struct builder *b, struct service_model *s, const struct field *f)
{
	enum {
		ADDRESS,
		PORT,
		PROTOCOL,
		FORWARD,
		TUNNEL,
		AFFINITY,
		QUIC,
		UDP_MISS,
		VARIANTS,
		COHORTS,
		NAT,
		DRAIN,
		MEASURE,
		HEALTH,
		SHADOW,
		ROLLOUT,
		KEYS
	};
	struct field fields[KEYS] = {
		[ADDRESS] = {.key = "address", .required = "address: with the IP address that clients connect to"},
		[PORT] = {.key = "port", .required = "port: with the port that clients connect to"},
		[PROTOCOL] = {.key = "protocol"},
		[FORWARD] = {.key = "forward", .required = "forward: nat, dnat, l2dsr, ipip or gue"},
		[TUNNEL] = {.key = "tunnel"},
		[AFFINITY] = {.key = "affinity"},
		[QUIC] = {.key = "quic"},
		[UDP_MISS] = {.key = "udp_miss"},
		[VARIANTS] = {.key = "variants", .required = "variants: with " VARIANTS_HINT},
		[COHORTS] = {.key = "cohorts"},
		[NAT] = {.key = "nat"},
		[DRAIN] = {.key = "drain"},
		[MEASURE] = {.key = "measure"},
		[HEALTH] = {.key = "health"},
		[SHADOW] = {.key = "shadow"},
		[ROLLOUT] = {.key = "rollout"},
	};
	char title[TITLE_SIZE];
	int err;

	strcpy(s->name, f->key);
	snprintf(title, sizeof(title), "service %s", f->key);
	if (reader_fields(b->reader, f, title, fields, KEYS))
		return 0;
	read_vip(b, s, &fields[ADDRESS], &fields[PORT], &fields[PROTOCOL]);
	build_forward(b, s, &fields[FORWARD], &fields[TUNNEL]);
	build_quic(b, s, &fields[QUIC]);
	read_affinity(b, s, &fields[AFFINITY]);
	read_udp_miss(b, s, &fields[UDP_MISS]);
	err = read_variants(b, s, &fields[VARIANTS]);
	if (err == -ENOMEM)
		return err;
	build_nat(b, s, &fields[NAT]);
	build_drain(b, s, &fields[DRAIN]);
	build_measure(b, s, &fields[MEASURE]);
	build_health(b, s, &fields[HEALTH]);
	build_shadow(b, s, &fields[SHADOW]);
	if (build_cohorts(b, s, &fields[COHORTS], !err))
		return -ENOMEM;
	return build_rollout(b, s, &fields[ROLLOUT], !err);
}
