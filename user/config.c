// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The configuration as a whole: its top level, and its file. */
#include "config_build.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define INTERFACES_MAX 64
#define INTERFACES_HINT "a list, as [eth0] or [{name: eth0, attach: native}]"
#define SERVICES_HINT "a map of services by name, or {} for none"
#define LISTEN_HINT "a loopback address and a port, as 127.0.0.1:9850"
#define FILE_READ_MAX ((4U << 20) + 1) /* one byte more than is accepted tells that there is more */

static const struct model defaults = {
	.limits = {.services = 64,
		   .backends = 4096,
		   .rows = 192,
		   .half_open = 65536,
		   .established = 262144,
		   .shadow_flows = 16384,
		   .stash = 16384},
	.tcp_idle_s = 7440, /* RFC 5382, REQ-5: not less than 2 hours and 4 minutes */
	.udp_idle_s = 180,
};

/* What the kernel takes for the name of an interface (dev_valid_name). */
static bool is_interface_name(const char *name)
{
	if (strlen(name) >= IF_NAMESIZE || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (const char *p = name; *p; p++) {
		if (*p == '/' || *p == ':' || !isgraph((unsigned char)*p))
			return false;
	}
	return true;
}

static void add_interface(struct builder *b, const struct field *f, enum attach_mode attach, enum existing existing)
{
	static const char hint[] = "the name of an interface, as eth0";
	struct model *m = b->model;
	struct interface_model *added = &m->interfaces[m->interface_count];
	const char *name;

	if (reader_text(b->reader, f, hint, &name))
		return;
	if (!is_interface_name(name)) {
		reader_refuse(b->reader, f, hint);
		return;
	}
	for (size_t i = 0; i < m->interface_count; i++) {
		if (!strcmp(m->interfaces[i].name, name)) {
			reader_problem(b->reader, f->node->start_mark, "interface %s is listed twice: write it once",
				       name);
			return;
		}
	}
	strcpy(added->name, name);
	added->attach = attach;
	added->existing = existing;
	m->interface_count++;
}

static void read_interface(struct builder *b, const struct field *f)
{
	static const char *const modes[] = {"auto", "native", "generic", "tc"};
	static const char *const choices[] = {"refuse", "chain"};
	struct field fields[] = {{.key = "name", .required = "name: eth0"}, {.key = "attach"}, {.key = "existing"}};
	int attach = ATTACH_AUTO, existing = EXISTING_REFUSE;

	if (f->node->type != YAML_MAPPING_NODE) {
		add_interface(b, f, ATTACH_AUTO, EXISTING_REFUSE);
		return;
	}
	if (reader_fields(b->reader, f, "an interface", fields, ARRAY_SIZE(fields)))
		return;
	reader_choice(b->reader, &fields[1], modes, ARRAY_SIZE(modes), &attach);
	reader_choice(b->reader, &fields[2], choices, ARRAY_SIZE(choices), &existing);
	add_interface(b, &fields[0], attach, existing);
}

static int read_interfaces(struct builder *b, const struct field *f)
{
	const yaml_node_item_t *items;
	size_t count;

	if (reader_list(b->reader, f, INTERFACES_HINT, &items, &count))
		return 0;
	if (!count || count > INTERFACES_MAX) {
		reader_problem(b->reader, f->node->start_mark,
			       "%zu interfaces are listed: write from 1 to %d, as [eth0]", count, INTERFACES_MAX);
		return 0;
	}
	b->model->interfaces = calloc(count, sizeof(*b->model->interfaces));
	if (!b->model->interfaces)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct field item = reader_item(b->reader, items[i], "an item", f->key);

		read_interface(b, &item);
	}
	return 0;
}

static void read_limits(struct builder *b, const struct field *f)
{
	struct limits *limits = &b->model->limits;
	struct field fields[] = {
		{.key = "services"}, {.key = "backends"},     {.key = "slot_tables"},     {.key = "half_open"},
		{.key = "flows"},    {.key = "shadow_flows"}, {.key = "shadow_segments"},
	};

	if (reader_fields(b->reader, f, "limits", fields, ARRAY_SIZE(fields)))
		return;
	reader_number(b->reader, &fields[0], 1, 4096, &limits->services);
	reader_number(b->reader, &fields[1], 1, 65536, &limits->backends);
	reader_number(b->reader, &fields[2], 3, 16384, &limits->rows);
	reader_number(b->reader, &fields[3], 64, 1U << 24, &limits->half_open);
	reader_number(b->reader, &fields[4], 64, 1U << 26, &limits->established);
	reader_number(b->reader, &fields[5], 64, 1U << 22, &limits->shadow_flows);
	reader_number(b->reader, &fields[6], 64, 1U << 22, &limits->stash);
}

static void read_flows(struct builder *b, const struct field *f)
{
	struct field fields[] = {{.key = "tcp_idle"}, {.key = "udp_idle"}};

	if (reader_fields(b->reader, f, "flows", fields, ARRAY_SIZE(fields)))
		return;
	reader_duration(b->reader, &fields[0], &b->model->tcp_idle_s);
	reader_duration(b->reader, &fields[1], &b->model->udp_idle_s);
}

/* Figures are for this host, and whoever publishes them further has to mean it. */
static void read_metrics(struct builder *b, const struct field *f)
{
	struct field fields[] = {{.key = "listen", .required = "listen: 127.0.0.1:9850"}};
	struct endpoint listen;
	const char *text;

	if (reader_fields(b->reader, f, "metrics", fields, ARRAY_SIZE(fields)) ||
	    reader_text(b->reader, &fields[0], LISTEN_HINT, &text))
		return;
	if (endpoint_parse(text, &listen) || !is_loopback(&listen.address))
		reader_refuse(b->reader, &fields[0], LISTEN_HINT);
	else
		b->model->metrics = listen;
}

static bool is_repeated_service(struct builder *b, const struct field *f, const yaml_mark_t *marks)
{
	const struct service_model *s = model_find_service(b->model, f->key);

	if (!s)
		return false;
	reader_problem(b->reader, f->at, "service %s is written twice, first on line %zu: remove one, or rename it",
		       f->key, marks[s - b->model->services].line + 1);
	return true;
}

static int read_services(struct builder *b, const struct field *f)
{
	struct model *m = b->model;
	_cleanup_free_ yaml_mark_t *marks = calloc(m->limits.services, sizeof(*marks));
	const yaml_node_pair_t *pairs;
	size_t count;

	m->services = calloc(m->limits.services, sizeof(*m->services));
	b->mentions = calloc((size_t)m->limits.services + m->limits.backends, sizeof(*b->mentions));
	if (!marks || !m->services || !b->mentions)
		return -ENOMEM;
	if (reader_map(b->reader, f, SERVICES_HINT, &pairs, &count))
		return 0;
	for (size_t i = 0; i < count && !b->reader->stopped; i++) {
		struct field service;
		int err;

		if (reader_entry(b->reader, &pairs[i], f->key, &service) || is_repeated_service(b, &service, marks))
			continue;
		if (m->service_count == m->limits.services) {
			reader_problem(b->reader, service.at,
				       "more services than limits.services (%u): remove some, or "
				       "raise the limit",
				       m->limits.services);
			break;
		}
		marks[m->service_count] = service.at;
		err = build_service(b, &m->services[m->service_count++], &service);
		if (err)
			return err;
	}
	check_mentions(b);
	return 0;
}

static int read_model(struct builder *b)
{
	enum { INTERFACES, SERVICES, LIMITS, FLOWS, METRICS, KEYS };
	struct field fields[KEYS] = {
		[INTERFACES] = {.key = "interfaces", .required = "interfaces: [eth0]"},
		[SERVICES] = {.key = "services", .required = "services: with " SERVICES_HINT},
		[LIMITS] = {.key = "limits"},
		[FLOWS] = {.key = "flows"},
		[METRICS] = {.key = "metrics"},
	};
	struct field top = {.node = yaml_document_get_root_node(&b->reader->document)};
	int err;

	if (reader_fields(b->reader, &top, "the configuration", fields, KEYS))
		return 0;
	read_limits(b, &fields[LIMITS]);
	read_flows(b, &fields[FLOWS]);
	read_metrics(b, &fields[METRICS]);
	err = read_interfaces(b, &fields[INTERFACES]);
	if (err)
		return err;
	return read_services(b, &fields[SERVICES]);
}

int config_parse(const char *name, const char *text, size_t length, struct problems *problems, struct model **ret)
{
	_cleanup_(model_freep) struct model *model = malloc(sizeof(*model));
	_cleanup_free_ struct reader *reader = calloc(1, sizeof(*reader));
	struct builder b = {.reader = reader, .model = model};
	int err;

	if (!model || !reader)
		return -ENOMEM;
	*model = defaults;
	err = reader_open(reader, text, length, "interfaces: and services:");
	if (!err) {
		err = read_model(&b);
		free(b.mentions);
		reader_close(reader);
	}
	if (err == -ENOMEM)
		return err;
	if (reader->problems.count)
		return problem_list_print(&reader->problems, name, problems) ?: -EINVAL;
	*ret = TAKE_PTR(model);
	return 0;
}

static int read_file(const char *path, char **ret, size_t *ret_length)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = malloc(FILE_READ_MAX);

	if (!file)
		return -errno;
	if (!text)
		return -ENOMEM;
	*ret_length = fread(text, 1, FILE_READ_MAX, file);
	if (ferror(file))
		return -errno;
	*ret = TAKE_PTR(text);
	return 0;
}

int config_load(const char *path, struct problems *problems, struct model **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int err = read_file(path, &text, &length);

	if (err) {
		char what[128];

		snprintf(what, sizeof(what), "cannot be read: %s", strerror(-err));
		return problem_of_file(path, what, problems) ?: err;
	}
	return config_parse(path, text, length, problems, ret);
}
