// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_build.h"

#include <netinet/in.h>
#include <string.h>

static int compare_places(const struct mention *a, const struct mention *b)
{
	int difference = memcmp(&a->endpoint.address, &b->endpoint.address, sizeof(a->endpoint.address));

	if (!difference)
		difference = (int)a->endpoint.port - b->endpoint.port;
	if (!difference)
		difference = (int)a->protocol - b->protocol;
	return difference;
}

/* Services first, then backends, then shadows. */
static int rank_of(const struct mention *m)
{
	return m->variant == VIP_VARIANT ? 0 : m->variant == SHADOW_MENTION ? 2 : 1;
}

/* By place; in one place by rank, each in the order of the file. */
static int compare_mentions(const void *first, const void *second)
{
	const struct mention *a = first, *b = second;
	int difference = compare_places(a, b);

	if (!difference)
		difference = rank_of(a) - rank_of(b);
	if (!difference)
		difference = a->order < b->order ? -1 : 1;
	return difference;
}

/* Those with server ids first, by service and id, each in the order of the file. */
static int compare_server_ids(const void *first, const void *second)
{
	const struct mention *a = first, *b = second;
	int difference = (b->server_id != NULL) - (a->server_id != NULL);

	if (!difference && a->server_id && a->service == b->service)
		difference = memcmp(a->server_id, b->server_id, SERVER_ID_MAX);
	else if (!difference && a->service != b->service)
		difference = a->service < b->service ? -1 : 1;
	if (!difference)
		difference = a->order < b->order ? -1 : 1;
	return difference;
}

static enum forward_mode forward_of(const struct builder *b, const struct mention *m)
{
	return b->model->services[m->service].forward;
}

static void shared_backend(struct builder *b, const struct mention *m, const struct mention *other, const char *place)
{
	const struct service_model *s = &b->model->services[other->service];
	const char *variant = s->variants[other->variant].name;

	if (m->service == other->service && m->variant == other->variant)
		reader_problem(b->reader, m->at,
			       "%s is twice in variant %s of %s, first on line %zu: write it once, with "
			       "a weight",
			       place, variant, s->name, other->at.line + 1);
	else
		reader_problem(
			b->reader, m->at,
			"%s is also a backend of variant %s of %s (line %zu), and with dnat replies "
			"are told apart by their source alone: give each variant its own address or port, or use "
			"forward: nat in both",
			place, variant, s->name, other->at.line + 1);
}

/* All mentions of one address, port and protocol, but for shadows. */
static void check_place(struct builder *b, const struct mention *place, size_t count)
{
	const struct mention *vip = place->variant == VIP_VARIANT ? place : NULL;
	const struct mention *dnat = NULL;
	const struct mention *replies =
		NULL; /* of a mode whose replies come by; those of other modes tell nobody apart */
	char text[ADDRESS_TEXT_SIZE], full[ADDRESS_TEXT_SIZE + 4];

	endpoint_format(&place->endpoint.address, place->endpoint.port, text);
	snprintf(full, sizeof(full), "%s/%s", text, place->protocol == IPPROTO_TCP ? "tcp" : "udp");
	for (size_t i = 0; i < count; i++) {
		const struct mention *m = &place[i], *previous = i ? m - 1 : NULL;

		if (m->variant == SHADOW_MENTION)
			break;
		if (m != vip && m->variant == VIP_VARIANT)
			reader_problem(b->reader, m->at,
				       "%s is already the address of service %s (line %zu): give each "
				       "service its own address, port or protocol",
				       full, b->model->services[vip->service].name, vip->at.line + 1);
		else if (m != vip && vip)
			reader_problem(b->reader, m->at,
				       "backend %s is the address of service %s (line %zu), which would "
				       "be a loop: write the address of a server",
				       full, b->model->services[vip->service].name, vip->at.line + 1);
		else if (previous && previous->service == m->service && previous->variant == m->variant)
			shared_backend(b, m, previous, full);
		else if (dnat && forward_sees_replies(forward_of(b, m)))
			shared_backend(b, m, dnat, full);
		else if (replies && forward_of(b, m) == FORWARD_DNAT)
			shared_backend(b, m, replies, full);
		if (forward_sees_replies(forward_of(b, m)))
			replies = m;
		if (forward_of(b, m) == FORWARD_DNAT)
			dnat = m;
	}
}

/*
 * What comes from a shadow's address is never forwarded, so that nobody else may have it, whatever the port. Shadows of
 * several services may: their engines are then to be the same, as it is by the address and port that one is found.
 */
static void check_shadow(struct builder *b, const struct mention *shadow, const struct mention *others, size_t count)
{
	const struct service_model *services = b->model->services;
	char text[ADDRESS_TEXT_SIZE];

	address_format(&shadow->endpoint.address, text);
	for (size_t i = 0; i < count; i++) {
		const struct mention *m = &others[i];
		const struct service_model *s = &services[m->service];

		if (m->variant == VIP_VARIANT)
			reader_problem(b->reader, shadow->at,
				       "%s is the address of service %s (line %zu): write the address of a server that "
				       "nobody is sent to",
				       text, s->name, m->at.line + 1);
		else if (m->variant != SHADOW_MENTION)
			reader_problem(
				b->reader, shadow->at,
				"%s is also the address of a backend of variant %s of %s (line %zu), and nothing "
				"that comes from a shadow's address is forwarded: give the shadow an address of "
				"its own",
				text, s->variants[m->variant].name, s->name, m->at.line + 1);
		else if (m->order < shadow->order && !compare_places(m, shadow) && m->service == shadow->service)
			reader_problem(b->reader, shadow->at, "%s is twice in the shadow of %s: write it once", text,
				       s->name);
		else if (m->order < shadow->order && s->shadow.engine != services[shadow->service].shadow.engine)
			reader_problem(
				b->reader, shadow->at,
				"%s is also in the shadow of %s (line %zu), which has another engine: give each an "
				"address of its own, or both the same engine",
				text, s->name, m->at.line + 1);
		else
			continue;
		return;
	}
}

/* All mentions of one address. */
static void check_shadows(struct builder *b, const struct mention *same, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (same[i].variant == SHADOW_MENTION)
			check_shadow(b, &same[i], same, count);
}

/* One server may be in several variants, with one id. */
static void check_server_ids(struct builder *b)
{
	const struct mention *first = b->mentions;
	char text[ADDRESS_TEXT_SIZE];

	qsort(b->mentions, b->mention_count, sizeof(*b->mentions), compare_server_ids);
	for (size_t i = 0; i < b->mention_count && b->mentions[i].server_id; i++) {
		const struct mention *m = &b->mentions[i];

		if (m->service != first->service || memcmp(m->server_id, first->server_id, SERVER_ID_MAX))
			first = m;
		else if (compare_places(m, first))
			reader_problem(b->reader, m->at,
				       "server_id of this backend of %s is already that of %s (line %zu): give each "
				       "server its own",
				       b->model->services[m->service].name,
				       endpoint_format(&first->endpoint.address, first->endpoint.port, text),
				       first->at.line + 1);
	}
}

void check_mentions(struct builder *b)
{
	const struct mention *m = b->mentions;
	size_t place = 0, address = 0;

	qsort(b->mentions, b->mention_count, sizeof(*b->mentions), compare_mentions);
	for (size_t i = 1; i <= b->mention_count; i++) {
		if (i == b->mention_count || compare_places(&m[place], &m[i])) {
			check_place(b, &m[place], i - place);
			place = i;
		}
		if (i == b->mention_count || !address_equal(&m[address].endpoint.address, &m[i].endpoint.address)) {
			check_shadows(b, &m[address], i - address);
			address = i;
		}
	}
	check_server_ids(b);
}
