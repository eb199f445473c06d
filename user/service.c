// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "table.h"

static uint32_t service_flags(const struct service_model *s, const struct service_state *state)
{
	uint32_t flags = 0;

	if (s->affinity == AFFINITY_CLIENT)
		flags |= SERVICE_CLIENT_AFFINITY;
	if (s->udp_miss == UDP_MISS_BASE)
		flags |= SERVICE_UDP_MISS_BASE;
	if (state->cohort_count)
		flags |= SERVICE_COHORTS;
	if (s->quic)
		flags |= SERVICE_QUIC;
	return flags;
}

/* Host bits of an outer source, as far as they are in its last word. */
static uint32_t entropy_of(const struct prefix *source)
{
	uint32_t host_bits = 128 - source->bits;

	return host_bits >= 32 ? UINT32_MAX : (1U << host_bits) - 1;
}

/* A packet that meets an address half written has an odd outer source, which nobody answers to. */
static void write_tunnel(struct service *kernel, const struct service_model *s)
{
	for (size_t family = 0; family < ARRAY_SIZE(s->tunnel_source); family++) {
		const struct prefix *source = &s->tunnel_source[family];

		kernel->outer[family].address = source->address;
		kernel->outer[family].entropy = address_is_zero(&source->address) ? 0 : entropy_of(source);
	}
	kernel->tunnel_port = htons(s->tunnel_port);
}

int service_write(struct splitter *sp, uint32_t id, const struct service_model *s, bool fresh, struct refusal *why)
{
	struct service *kernel = datapath_service(sp->datapath, id);
	struct service_state *state = &sp->services[id];

	if (fresh) {
		memset(kernel, 0, sizeof(*kernel));
		kernel->vip.address = s->vip.address;
		kernel->vip.port = htons(s->vip.port);
		kernel->vip.protocol = s->protocol;
		kernel->mode = s->forward;
	}
	snprintf(state->name, sizeof(state->name), "%s", s->name);
	state->drain_timeout_s = s->drain_timeout_s;
	state->drain_limit_s = s->drain_limit_s;
	kernel->seed = table_seed(s->name);
	__atomic_store_n((uint32_t *)&kernel->port_min, s->port_min | (uint32_t)s->port_max << 16, __ATOMIC_RELAXED);
	for (size_t i = 0; i < s->source_count; i++) {
		kernel->source[i] = splitter_source_id(sp, &s->sources[i]);
		if (!kernel->source[i])
			return refuse(why, ENOSPC, "more than %u NAT source addresses in all", SOURCE_IDS_MAX - 1);
	}
	kernel->source_count = s->source_count;
	write_tunnel(kernel, s);
	kernel->server_id_bytes = s->server_id_bytes;
	kernel->measure_mask = (1U << s->measure_shift) - 1;
	/* What becomes of its shadow is shadows_refresh()'s. */
	kernel->flags = service_flags(s, state) | (kernel->flags & (SERVICE_SHADOW | SERVICE_SHADOW_RULES));
	return 0;
}
