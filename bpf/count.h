/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_COUNT_H
#define HEADGATE_COUNT_H

/* Counting: per CPU, so plain additions. */
#include "maps.h"
#include "parse.h"
#include "shadow_compare.h"
#include "verdict.h"

static __always_inline struct service_counters *counters_of_service(__u32 service)
{
	return bpf_map_lookup_elem(&service_counters, &service);
}

/* Every packet that is dropped ends here, under a name. */
static __always_inline enum verdict drop(__u32 service, enum drop_reason reason)
{
	struct service_counters *c = counters_of_service(service);

	if (c)
		c->drops[reason]++;
	return VERDICT_DROP;
}

static __always_inline void count_too_big(__u32 service)
{
	struct service_counters *c = counters_of_service(service);

	if (c)
		c->too_big_answers++;
}

/* A packet that leaves, at its backend. */
static __always_inline void count_departure(const struct packet *p, const struct departure *to)
{
	__u32 backend = to->backend; /* a copy, so that @to need not be in memory */
	struct backend_counters *c = bpf_map_lookup_elem(&backend_counters, &backend);

	if (!c)
		return;
	if (to->reply) {
		c->server_packets += 1 + p->more_packets;
		c->server_bytes += p->bytes + p->more_bytes;
		return;
	}
	c->client_packets += 1 + p->more_packets;
	c->client_bytes += p->bytes + p->more_bytes;
	if (to->opened)
		c->opened++;
}

/* A function of its own to the verifier, since many ways lead here. Return: 0. */
__weak __noinline int comparison_count(__u32 service, const struct comparison *comparison)
{
	struct shadow_counters *c = bpf_map_lookup_elem(&shadow_counters, &service);

	if (c && comparison)
		comparison_add(c, comparison);
	return 0;
}

#endif
