// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model_diff.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "names.h"
#include "text.h"

struct lines {
	FILE *stream;
	const char *service;
};

static void line(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct lines *l, const char *format, ...)
{
	va_list arguments;

	if (l->service)
		fprintf(l->stream, "%s: ", l->service);
	va_start(arguments, format);
	vfprintf(l->stream, format, arguments);
	va_end(arguments);
	fputc('\n', l->stream);
}

static const struct backend_model *find_backend(const struct variant_model *v, const struct endpoint *wanted)
{
	for (size_t i = 0; i < v->backend_count; i++)
		if (address_equal(&v->backends[i].endpoint.address, &wanted->address) &&
		    v->backends[i].endpoint.port == wanted->port)
			return &v->backends[i];
	return NULL;
}

static void diff_backends(struct lines *l, const struct variant_model *before, const struct variant_model *after)
{
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < before->backend_count; i++) {
		const struct backend_model *b = &before->backends[i];

		if (!find_backend(after, &b->endpoint))
			line(l, "backend %s removed from %s",
			     endpoint_format(&b->endpoint.address, b->endpoint.port, text), after->name);
	}
	for (size_t i = 0; i < after->backend_count; i++) {
		const struct backend_model *b = &after->backends[i], *old = find_backend(before, &b->endpoint);

		endpoint_format(&b->endpoint.address, b->endpoint.port, text);
		if (!old) {
			line(l, "backend %s added to %s", text, after->name);
			continue;
		}
		if (old->weight != b->weight)
			line(l, "backend %s of %s now has weight %u", text, after->name, b->weight);
		if (memcmp(old->server_id, b->server_id, sizeof(b->server_id)))
			line(l, "backend %s of %s has another server id", text, after->name);
	}
}

static void diff_variants(struct lines *l, const struct service_model *before, const struct service_model *after)
{
	for (size_t i = 0; i < before->variant_count; i++)
		if (service_find_variant(after, before->variants[i].name) < 0)
			line(l, "variant %s removed", before->variants[i].name);
	for (size_t i = 0; i < after->variant_count; i++) {
		const struct variant_model *v = &after->variants[i];
		int old = service_find_variant(before, v->name);

		if (old < 0) {
			line(l, "variant %s added, weight %u, %zu backends", v->name, v->weight, v->backend_count);
			continue;
		}
		if (before->variants[old].weight != v->weight)
			line(l, "weight of %s changed from %u to %u", v->name, before->variants[old].weight, v->weight);
		diff_backends(l, &before->variants[old], v);
	}
}

static const struct cohort_model *find_cohort(const struct service_model *s, const struct cohort_model *wanted)
{
	const struct cohort_model *c = service_find_cohort(s, &wanted->source);

	return c && !strcmp(c->variant, wanted->variant) ? c : NULL;
}

static void diff_cohorts(struct lines *l, const struct service_model *before, const struct service_model *after)
{
	char text[ADDRESS_TEXT_SIZE], instant[INSTANT_SIZE];

	for (size_t i = 0; i < before->cohort_count; i++)
		if (!find_cohort(after, &before->cohorts[i]))
			line(l, "cohort %s to %s removed", prefix_format(&before->cohorts[i].source, text),
			     before->cohorts[i].variant);
	for (size_t i = 0; i < after->cohort_count; i++) {
		const struct cohort_model *c = &after->cohorts[i], *old = find_cohort(before, c);

		prefix_format(&c->source, text);
		if (!old)
			line(l, "cohort %s to %s added", text, c->variant);
		else if (old->expires_s != c->expires_s)
			line(l, "cohort %s to %s %s %s", text, c->variant,
			     c->expires_s ? "expires at" : "does not expire",
			     c->expires_s ? text_of_instant(c->expires_s, instant) : "any more");
		else if (strcmp(old->owner, c->owner) || strcmp(old->note, c->note))
			line(l, "cohort %s to %s has another owner or note", text, c->variant);
	}
}

static void diff_policies(struct lines *l, const struct service_model *before, const struct service_model *after)
{
	const struct health_model *old = &before->health, *new = &after->health;

	if (before->on_change != after->on_change || before->on_rollback != after->on_rollback ||
	    before->pace_permille != after->pace_permille)
		line(l, "drain: connections %s on a change, %s on a rollback, at %g%%/s",
		     after->on_change == DRAIN_RESET ? "are reset" : "stay",
		     after->on_rollback == DRAIN_RESET ? "are reset" : "stay", after->pace_permille / 10.0);
	if (before->measure_shift != after->measure_shift && forward_sees_replies(after->forward))
		line(l, "measure: 1 in %u connections", 1U << after->measure_shift);
	if (old->check != new->check || old->port != new->port || strcmp(old->path, new->path) ||
	    old->interval_ms != new->interval_ms || old->timeout_ms != new->timeout_ms || old->rise != new->rise ||
	    old->fall != new->fall || old->passive != new->passive)
		line(l, "health: the check changed");
}

/* What only some modes and protocols have. */
static void diff_tunnel(struct lines *l, const struct service_model *before, const struct service_model *after)
{
	if (forward_tunnels(before->forward) && forward_tunnels(after->forward) &&
	    (!prefix_equal(&before->tunnel_source[0], &after->tunnel_source[0]) ||
	     !prefix_equal(&before->tunnel_source[1], &after->tunnel_source[1])))
		line(l, "tunnel sources changed");
	if (before->forward == after->forward && before->tunnel_port != after->tunnel_port)
		line(l, "tunnel port is now %u", after->tunnel_port);
	if (before->quic != after->quic)
		line(l, "quic is now %s", after->quic ? "on" : "off");
	if (before->server_id_bytes != after->server_id_bytes && after->server_id_bytes)
		line(l, "connections are routed by server ids of %u bytes", after->server_id_bytes);
	else if (before->server_id_bytes != after->server_id_bytes)
		line(l, "connections are not routed by server ids any more");
}

static void diff_settings(struct lines *l, const struct service_model *before, const struct service_model *after)
{
	char text[ADDRESS_TEXT_SIZE];

	if (!address_equal(&before->vip.address, &after->vip.address) || before->vip.port != after->vip.port ||
	    before->protocol != after->protocol)
		line(l, "address is now %s %s; connections to the old one end",
		     endpoint_format(&after->vip.address, after->vip.port, text), name_of_protocol(after->protocol));
	if (before->forward != after->forward)
		line(l, "forward is now %s; connections that were open end", name_of_forward(after->forward));
	if (before->affinity != after->affinity)
		line(l, "affinity is now %s%s", name_of_affinity(after->affinity),
		     after->forward == FORWARD_NAT ? "" : "; connections whose slot is another now end");
	if (before->source_count != after->source_count ||
	    memcmp(before->sources, after->sources, after->source_count * sizeof(*after->sources)) ||
	    before->port_min != after->port_min || before->port_max != after->port_max)
		line(l, "nat sources or ports changed");
	if (before->drain_timeout_s != after->drain_timeout_s || before->drain_limit_s != after->drain_limit_s)
		line(l, "drain is now %us, at most %us", after->drain_timeout_s, after->drain_limit_s);
	diff_tunnel(l, before, after);
	diff_policies(l, before, after);
	if (before->udp_miss != after->udp_miss)
		line(l, "udp_miss is now %s", after->udp_miss == UDP_MISS_BASE ? "base" : "entry");
}

static bool has_shadow(const struct shadow_model *shadow, const struct endpoint *wanted)
{
	for (size_t i = 0; i < shadow->backend_count; i++)
		if (address_equal(&shadow->backends[i].address, &wanted->address) &&
		    shadow->backends[i].port == wanted->port)
			return true;
	return false;
}

static void diff_shadow_backends(struct lines *l, const struct shadow_model *before, const struct shadow_model *after)
{
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < before->backend_count; i++) {
		const struct endpoint *e = &before->backends[i];

		if (!has_shadow(after, e))
			line(l, "shadow %s removed", endpoint_format(&e->address, e->port, text));
	}
	for (size_t i = 0; i < after->backend_count; i++) {
		const struct endpoint *e = &after->backends[i];

		if (!has_shadow(before, e))
			line(l, "shadow %s added", endpoint_format(&e->address, e->port, text));
	}
}

static bool same_rules(const struct shadow_model *a, const struct shadow_model *b)
{
	for (size_t i = 0; a->rule_count == b->rule_count && i < a->rule_count; i++)
		if (!prefix_equal(&a->rules[i].source, &b->rules[i].source) || a->rules[i].rule != b->rules[i].rule)
			return false;
	return a->rule_count == b->rule_count;
}

static void diff_shadow_limits(struct lines *l, const struct shadow_model *before, const struct shadow_model *after)
{
	if (before->source_count != after->source_count ||
	    memcmp(before->sources, after->sources, after->source_count * sizeof(*after->sources)) ||
	    before->port_min != after->port_min || before->port_max != after->port_max || before->dscp != after->dscp)
		line(l, "shadow: what copies look like changed (sources, ports, dscp)");
	if (before->packets_per_second != after->packets_per_second || before->linger_s != after->linger_s ||
	    before->memory_bytes != after->memory_bytes ||
	    before->connection_memory_bytes != after->connection_memory_bytes ||
	    before->connection_segments != after->connection_segments)
		line(l, "shadow: its limits changed");
	if (before->pause.of != after->pause.of || before->pause.lost != after->pause.lost ||
	    before->pause.unanswered != after->pause.unanswered)
		line(l, "shadow: when it is paused changed");
}

static void diff_shadow(struct lines *l, const struct shadow_model *before, const struct shadow_model *after)
{
	diff_shadow_backends(l, before, after);
	if (!before->present || !after->present) {
		if (after->present)
			line(l, "shadow: %g%% of connections are mirrored (%s)", after->sample / 100.0,
			     name_of_engine(after->engine));
		return;
	}
	if (before->state != after->state)
		line(l, "shadow is now %s", name_of_shadow_state(after->state));
	if (before->sample != after->sample)
		line(l, "shadow: sample changed from %g%% to %g%%", before->sample / 100.0, after->sample / 100.0);
	if (before->engine != after->engine)
		line(l, "shadow: engine is now %s", name_of_engine(after->engine));
	if (!same_rules(before, after))
		line(l, "shadow: whose connections are always or never mirrored changed");
	diff_shadow_limits(l, before, after);
}

/* Plans hold no pointers and begin as zeroes. */
static void diff_rollout(struct lines *l, const struct rollout_plan *before, const struct rollout_plan *after)
{
	if (!before && after)
		line(l, "rollout plan added");
	else if (before && (!after || memcmp(before, after, sizeof(*after))))
		line(l, "rollout plan %s; a rollout that is going on keeps its own", after ? "changed" : "removed");
}

static const struct service_model *find(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->service_count; i++)
		if (strcmp(m->services[i].name, name) == 0)
			return &m->services[i];
	return NULL;
}

static void diff_services(struct lines *l, const struct model *before, const struct model *after)
{
	for (size_t i = 0; i < before->service_count; i++)
		if (!find(after, before->services[i].name))
			line(l, "service %s removed", before->services[i].name);
	for (size_t i = 0; i < after->service_count; i++) {
		const struct service_model *s = &after->services[i], *old = find(before, s->name);

		if (!old) {
			line(l, "service %s added", s->name);
			continue;
		}
		l->service = s->name;
		diff_settings(l, old, s);
		diff_variants(l, old, s);
		diff_cohorts(l, old, s);
		diff_shadow(l, &old->shadow, &s->shadow);
		diff_rollout(l, old->rollout, s->rollout);
		l->service = NULL;
	}
}

static bool has_interface(const struct model *m, const struct interface_model *wanted)
{
	for (size_t i = 0; i < m->interface_count; i++)
		if (strcmp(m->interfaces[i].name, wanted->name) == 0 && m->interfaces[i].attach == wanted->attach &&
		    m->interfaces[i].existing == wanted->existing)
			return true;
	return false;
}

static void diff_interface(struct lines *l, const struct interface_model *i, const char *what)
{
	line(l, "interface %s (%s%s) %s", i->name, name_of_attach(i->attach),
	     i->existing == EXISTING_CHAIN ? ", chain" : "", what);
}

static void diff_host(struct lines *l, const struct model *before, const struct model *after)
{
	for (size_t i = 0; i < before->interface_count; i++)
		if (!has_interface(after, &before->interfaces[i]))
			diff_interface(l, &before->interfaces[i], "removed");
	for (size_t i = 0; i < after->interface_count; i++)
		if (!has_interface(before, &after->interfaces[i]))
			diff_interface(l, &after->interfaces[i], "added");
	if (before->tcp_idle_s != after->tcp_idle_s || before->udp_idle_s != after->udp_idle_s)
		line(l, "flows are forgotten after %us (tcp), %us (udp) of silence", after->tcp_idle_s,
		     after->udp_idle_s);
	if (!address_equal(&before->metrics.address, &after->metrics.address) ||
	    before->metrics.port != after->metrics.port)
		line(l, "metrics.listen changed: in force after a new start of headgated");
	if (memcmp(&before->limits, &after->limits, sizeof(before->limits)))
		line(l, "limits changed: in force after `headgate detach` and a new start of headgated");
}

int model_diff(const struct model *before, const struct model *after, char **ret)
{
	char *text = NULL;
	size_t length = 0;
	struct lines l = {.stream = open_memstream(&text, &length)};

	if (!l.stream)
		return -ENOMEM;
	diff_host(&l, before, after);
	diff_services(&l, before, after);
	if (fclose(l.stream)) {
		free(text);
		return -ENOMEM;
	}
	if (!length) {
		free(text);
		text = NULL;
	}
	*ret = text;
	return 0;
}
