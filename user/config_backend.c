// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The backends of a variant: their addresses, weights and server ids. */
#include "config_build.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "text.h"

#define BACKENDS_HINT "a list, as [10.0.1.11:8000], or [] for none"
#define BACKEND_HINT "ADDRESS:PORT, as 10.0.1.11:8000 or in quotes \"[fd00::1]:8000\""
#define ADDRESS_HINT "an address, as 10.0.1.11 or fd00::1"

void build_mention(struct builder *b, const struct service_model *s, int variant, const struct endpoint *e,
		   const uint8_t *server_id, yaml_mark_t at)
{
	b->mentions[b->mention_count] = (struct mention){
		.endpoint = *e,
		.protocol = s->protocol,
		.server_id = server_id,
		.variant = variant,
		.service = s - b->model->services,
		.order = b->mention_count,
		.at = at,
	};
	b->mention_count++;
}

/* Where packets are not rewritten, a backend's port is the service's, and need not be written. */
static bool has_service_port(const struct builder *b, const struct service_model *s)
{
	return !b->forward_known || !forward_sees_replies(s->forward);
}

/* "10.0.1.11", "fd00::1" or "[fd00::1]". */
static int parse_host(const char *text, struct address *ret)
{
	char host[ADDRESS_TEXT_SIZE];
	size_t length = strlen(text);

	if (text[0] != '[' || text[length - 1] != ']')
		return address_parse(text, ret);
	if (length - 2 >= sizeof(host))
		return -EINVAL;
	memcpy(host, text + 1, length - 2);
	host[length - 2] = '\0';
	if (address_parse(host, ret) || address_is_ipv4(ret))
		return -EINVAL;
	return 0;
}

static int parse_backend(struct builder *b, const struct service_model *s, const struct field *f, struct endpoint *ret)
{
	const char *hint = b->forward_known && has_service_port(b, s) ? ADDRESS_HINT : BACKEND_HINT;
	struct endpoint endpoint = {.port = s->vip.port};
	const char *text;
	int err = reader_text(b->reader, f, hint, &text);

	if (err)
		return err;
	if (endpoint_parse(text, &endpoint) && (!has_service_port(b, s) || parse_host(text, &endpoint.address))) {
		reader_refuse(b->reader, f, hint);
		return -EINVAL;
	}
	*ret = endpoint;
	return 0;
}

/* Packets of the modes that do not rewrite them can be carried to another port or family only in a tunnel, or not. */
static bool suits_forward(struct builder *b, const struct service_model *s, const struct field *f,
			  const struct endpoint *e)
{
	char host[ADDRESS_TEXT_SIZE], text[ADDRESS_TEXT_SIZE];

	endpoint_format(&e->address, e->port, text);
	if (b->forward_known && !forward_tunnels(s->forward) && !address_is_zero(&s->vip.address) &&
	    address_is_ipv4(&s->vip.address) != address_is_ipv4(&e->address)) {
		reader_problem(b->reader, f->node->start_mark,
			       "backend '%s' of %s is not of the service's family: write an "
			       "%s address, as the service's is",
			       f->node->data.scalar.value, f->of, address_is_ipv4(&s->vip.address) ? "IPv4" : "IPv6");
		return false;
	}
	if (b->forward_known && has_service_port(b, s) && s->vip.port && e->port != s->vip.port) {
		reader_problem(b->reader, f->node->start_mark,
			       "backend '%s' of %s has another port than the service, and %s does not rewrite "
			       "packets: write %s alone, or port %u",
			       text, f->of, name_of_forward(s->forward), address_format(&e->address, host),
			       s->vip.port);
		return false;
	}
	return true;
}

/* Reads "10.0.1.11:8000"; what is wrong with it is added as a problem, and then it is mentioned nowhere. */
static void read_endpoint(struct builder *b, const struct service_model *s, int variant, const struct field *f,
			  const uint8_t *server_id, struct endpoint *ret)
{
	const char *kind;

	if (parse_backend(b, s, f, ret))
		return;
	kind = unusable_address(&ret->address);
	if (kind)
		reader_problem(b->reader, f->node->start_mark,
			       "backend '%s' of %s is %s: write the address of a server", f->node->data.scalar.value,
			       f->of, kind);
	else if (suits_forward(b, s, f, ret) && ret->port)
		build_mention(b, s, variant, ret, server_id, f->node->start_mark);
}

bool build_is_bare_ipv6(struct builder *b, const yaml_node_t *node)
{
	const yaml_node_pair_t *first = node->data.mapping.pairs.start;

	return node->type == YAML_MAPPING_NODE && first < node->data.mapping.pairs.top &&
	       yaml_document_get_node(&b->reader->document, first->key)->type == YAML_SEQUENCE_NODE;
}

/* Hexadecimal digits, two a byte, after "0x" or not. 0, or -EINVAL with @ret untouched. */
static int parse_server_id(const char *text, size_t bytes, uint8_t *ret)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	uint8_t id[SERVER_ID_MAX];

	if (!strncmp(text, "0x", 2))
		text += 2;
	if (strlen(text) != 2 * bytes || strspn(text, digits) != 2 * bytes)
		return -EINVAL;
	for (size_t i = 0; i < bytes; i++) {
		size_t high = strchr(digits, text[2 * i]) - digits, low = strchr(digits, text[2 * i + 1]) - digits;

		id[i] = (high % 16) << 4 | low % 16;
	}
	memcpy(ret, id, bytes);
	return 0;
}

/* @f: the server id, left out or not. @backend: what has it. Returns @ret, or NULL: it has none. */
static const uint8_t *read_server_id(struct builder *b, const struct service_model *s, const struct field *f,
				     const struct field *backend, uint8_t *ret)
{
	static const char example[] = "00112233445566778899";
	char hint[128];
	const char *text;

	if (!b->quic_known || (!f->node && !s->server_id_bytes))
		return NULL;
	if (f->node && !s->server_id_bytes) {
		reader_problem(b->reader, f->at,
			       "server_id of %s has no meaning without quic: {server_id_length: ..} of the service: "
			       "remove it, or write that",
			       f->of);
		return NULL;
	}
	snprintf(hint, sizeof(hint), "%u hexadecimal digits, as 0x%.*s", 2 * s->server_id_bytes, 2 * s->server_id_bytes,
		 example);
	if (!f->node) {
		reader_problem(b->reader, backend->at,
			       "%s of %s has no server_id, which quic: {server_id_length: %u} asks for: write "
			       "{address: .., server_id: ..} with %s",
			       backend->key, backend->of, s->server_id_bytes, hint);
		return NULL;
	}
	if (reader_text(b->reader, f, hint, &text))
		return NULL;
	if (!parse_server_id(text, s->server_id_bytes, ret))
		return ret;
	reader_refuse(b->reader, f, hint);
	return NULL;
}

/* A backend that is wrong still counts as one, so that its variant is not called empty too. */
static void read_backend(struct builder *b, const struct service_model *s, int variant, const struct field *f,
			 struct backend_model *ret)
{
	enum { ADDRESS, WEIGHT, SERVER_ID, KEYS };
	struct field fields[KEYS] = {
		[ADDRESS] = {.key = "address", .required = "address: 10.0.1.11:8000"},
		[WEIGHT] = {.key = "weight"},
		[SERVER_ID] = {.key = "server_id"},
	};
	struct field endpoint = *f;
	const uint8_t *server_id;
	char title[TITLE_SIZE];

	ret->weight = 1;
	if (build_is_bare_ipv6(b, f->node)) {
		reader_refuse(b->reader, f, BACKEND_HINT);
		return;
	}
	if (f->node->type == YAML_MAPPING_NODE) {
		snprintf(title, sizeof(title), "a backend of %s", f->of);
		if (reader_fields(b->reader, f, title, fields, KEYS))
			return;
		endpoint.node = fields[ADDRESS].node;
		reader_number(b->reader, &fields[WEIGHT], 1, WEIGHT_MAX, &ret->weight);
	}
	server_id = read_server_id(b, s, &fields[SERVER_ID], f, ret->server_id);
	if (endpoint.node)
		read_endpoint(b, s, variant, &endpoint, server_id, &ret->endpoint);
}

bool build_count_backend(struct builder *b, yaml_mark_t at)
{
	if (b->backend_count++ == b->model->limits.backends)
		reader_problem(b->reader, at,
			       "more backends than limits.backends (%u): remove some, or raise the limit",
			       b->model->limits.backends);
	return b->backend_count <= b->model->limits.backends;
}

int build_backends(struct builder *b, const struct service_model *s, struct variant_model *v, const struct field *f)
{
	const yaml_node_item_t *items;
	size_t count;
	int err = reader_list(b->reader, f, BACKENDS_HINT, &items, &count);

	if (err || !count)
		return err;
	v->backends = calloc(count, sizeof(*v->backends));
	if (!v->backends)
		return -ENOMEM;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field item = reader_item(b->reader, items[i], "backend", f->of);

		v->backend_count++;
		if (build_count_backend(b, item.at))
			read_backend(b, s, v - s->variants, &item, &v->backends[i]);
	}
	return 0;
}
