/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MIRROR_H
#define HEADGATE_MIRROR_H

/*
 * Which packets are copied to the mirror, and what is written on a copy. Making it is each hook's own; where it cannot
 * be made the packet itself goes on all the same.
 */
#include "hash.h"
#include "maps.h"
#include "mirror_frame.h"
#include "outer.h"

/*
 * The kernel copies an XDP frame into one page, headroom included, and drops the original with the copy where that is
 * too small: what is larger is not copied.
 */
#define MIRROR_FRAME_BYTES 3072U

/* What a shadow must see of a connection. Of TCP not what only acknowledges: it acknowledges production's bytes. */
static __always_inline bool mirror_takes(const struct packet *p)
{
	return p->protocol != IPPROTO_TCP || p->payload_bytes || p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
}

/* By the connection, also where the slot is of the client alone. */
static __always_inline bool mirror_samples(const struct service *s, const struct packet *p)
{
	return hash_sample(hash_client(s->seed, &p->source, p->source_port)) < s->shadow_sample;
}

/* Whether a packet of a service with SERVICE_SHADOW is copied: the same for every packet of a connection. */
static __always_inline bool mirror_wants(const struct service *s, __u32 service, const struct packet *p)
{
	struct cohort_key key = {.prefix_bits = 160, .service = service, .source = p->source};
	__u32 *rule = NULL;

	if (!mirror_takes(p))
		return false;
	if (s->flags & SERVICE_SHADOW_RULES)
		rule = bpf_map_lookup_elem(&shadow_rules, &key);
	return rule ? *rule == SHADOW_ALWAYS : mirror_samples(s, p);
}

static __always_inline void count_clone_lost(__u32 service)
{
	struct shadow_counters *c = bpf_map_lookup_elem(&shadow_counters, &service);

	if (c)
		c->clones_lost++;
}

/* What a frame's metadata says that has been edited as @to says. */
static __always_inline struct mirrored mirror_description(const struct packet *p, const struct departure *to)
{
	bool tunnel = to->edit == EDIT_IPIP || to->edit == EDIT_GUE;

	return (struct mirrored){
		.magic = MIRRORED_MAGIC,
		.flow = {.client = p->source, .port = p->source_port, .service = to->service},
		.l3 = p->l3 + (tunnel ? outer_bytes(to) : 0),
	};
}

#endif
