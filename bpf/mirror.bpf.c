// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The far end of the mirror: copies of clients' packets come out of it, and shadows' packets that need thought. The XDP
 * program sends on at once what is frequent; behind it, at the hook of traffic control, is the program that can send
 * more than one packet for one. Nothing that comes here goes up to the host, or to anybody but a shadow.
 */
#include "engine_client.h"
#include "engine_shadow.h"
#include "frame.h"
#include "replay.h"

#define STRIPPED_MAX 128U /* tags and outer headers in front of a copied packet */

/* Takes off what stands before the client's IP header, but for an Ethernet header. The frame is in one piece. 0 or -1.
 */
static __always_inline int strip(struct xdp_md *ctx, struct frame *f, __u32 l3)
{
	struct ethhdr *eth;
	__u8 *version;

	if (l3 != sizeof(*eth)) {
		if (l3 < sizeof(*eth) || l3 > STRIPPED_MAX || bpf_xdp_adjust_head(ctx, (int)(l3 - sizeof(*eth))))
			return -1;
		*f = frame_in_place(ctx);
	}
	eth = frame_at(f, 0, sizeof(*eth));
	version = frame_at(f, sizeof(*eth), 1);
	if (!eth || !version)
		return -1;
	eth->h_dest[0] = 0; /* nobody's: no group */
	eth->h_proto = *version >> 4 == 6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return 0;
}

/*
 * What has come: enum mirror_kind, or -1. A client's packet is parsed, and the frame begins with one Ethernet header.
 * @ret: the connection, of a client's packet
 */
static __always_inline int receive(struct xdp_md *ctx, struct frame *f, struct packet *p, struct flow_key *ret)
{
	struct mirrored *said = (void *)(long)ctx->data_meta;
	int kind = MIRROR_CLIENT;

	/* XDP makes copies of nothing but frames in one piece, and metadata is only on those. */
	if ((void *)(said + 1) <= f->data && said->magic == MIRRORED_MAGIC) {
		*ret = said->flow;
		if (strip(ctx, f, said->l3) || parse(f, p) != PARSED)
			return -1;
		return p->malformed ? -1 : kind;
	}
	*f = frame_of_xdp(ctx);
	kind = mirror_marked(f, &ret->service);
	if (kind != MIRROR_CLIENT)
		return kind;
	if (parse(f, p) != PARSED || p->malformed)
		return -1;
	ret->client = p->source;
	ret->port = p->source_port;
	return kind;
}

/* To the program behind, as the client sent it. @why: as engine_client() has it. */
static __always_inline int pass_up(struct frame *f, const struct packet *p, const struct flow_key *key,
				   enum shadow_end why)
{
	const struct tuple tuple = {
		.source = key->client,
		.destination = p->destination,
		.source_port = key->port,
		.destination_port = p->destination_port,
	};
	struct ethhdr *eth;

	if (rewrite_checksum(f, p, &tuple) || rewrite_ports(f, p, &tuple) || rewrite_addresses(f, p, &tuple) ||
	    mirror_mark(f, MIRROR_CLIENT, key->service))
		return XDP_DROP;
	eth = frame_at(f, 0, sizeof(*eth));
	if (!eth)
		return XDP_DROP;
	eth->h_source[0] = why == SHADOW_WHOLE ? 0 : 1 + why;
	return XDP_PASS;
}

static __always_inline int send(struct frame *f, const struct packet *p, const struct flow_key *key,
				const struct next_hop *hop)
{
	if (forward_to(f, hop))
		return XDP_DROP;
	shadow_count_sent(key->service, p->bytes, p->protocol == IPPROTO_UDP);
	return bpf_redirect_map(&devices, hop->ifindex, XDP_DROP);
}

/*
 * Notes that a segment goes out that is the next one, all before it having gone, and the window open. False: it is not,
 * and nothing is noted.
 */
static __always_inline bool goes_at_once(const struct packet *p, struct shadow_flow *flow, __u32 service,
					 __u32 *ret_acknowledged)
{
	const __u32 looked_at = SHADOW_FLOW_OPEN | SHADOW_FLOW_OVER | SHADOW_FLOW_FIN | SHADOW_FLOW_RECOVERY;
	struct comparison comparison = {};
	__u64 now_ns = bpf_ktime_get_ns();
	bool ours;

	bpf_spin_lock(&flow->lock);
	ours = (flow->flags & looked_at) == SHADOW_FLOW_OPEN && p->sequence == flow->sent &&
	       flow->client_next == flow->sent && !sequence_after(p->sequence_next, flow->window_end);
	if (ours) {
		compare_request(flow, p->acknowledged, p->sequence_next, now_ns, &comparison);
		flow->sent = p->sequence_next;
		flow->client_next = p->sequence_next;
		flow->progress_ns = now_ns;
		flow->seen = now_ns >> TICK_SHIFT;
	}
	*ret_acknowledged = flow->server_next;
	bpf_spin_unlock(&flow->lock);
	if (ours)
		comparison_count(service, &comparison);
	return ours;
}

/* It did not go after all; the RST that the shadow is sent has the number that it waits for. */
static __always_inline int does_not_go(struct frame *f, const struct packet *p, const struct flow_key *key,
				       struct shadow_flow *flow, enum shadow_end why)
{
	bpf_spin_lock(&flow->lock);
	if (flow->sent == p->sequence_next)
		flow->sent = p->sequence;
	bpf_spin_unlock(&flow->lock);
	return pass_up(f, p, key, why);
}

/* A segment's payload, all of it. 0 or -1. The size is looked at last: Linux 6.1's verifier forgets it over calls. */
static __always_inline int load_payload(struct xdp_md *ctx, const struct packet *p, struct stash_segment *ret)
{
	__u32 at = p->l4 + p->tcp_header_bytes;
	__u32 last = p->payload_bytes - 1;

	stash_prepare(ret, last + 1, p->tcp_flags & TCP_PSH);
	last = *(volatile const __u32 *)&p->payload_bytes - 1;
	if (last >= STASH_BYTES)
		return -1;
	asm volatile("" : "+r"(last));
	return bpf_xdp_load_bytes(ctx, at, ret->data, last + 1) ? -1 : 0;
}

/* The frequent: data in order. What is anything else is passed up. */
static __always_inline int mirror_segment(struct xdp_md *ctx, struct frame *f, struct shadow_scratch *space,
					  const struct shadow *sh, const struct flow_key *key, struct shadow_flow *flow)
{
	const struct packet *p = &space->packet;
	struct shadow_way way;
	__u32 acknowledged;
	enum stash_result result;

	if (!flow || p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || shadow_way_of(flow, &way) ||
	    (way.mtu && p->bytes > way.mtu) || p->payload_bytes - 1 >= STASH_BYTES)
		return pass_up(f, p, key, SHADOW_WHOLE);
	if (!goes_at_once(p, flow, key->service, &acknowledged))
		return pass_up(f, p, key, SHADOW_WHOLE);
	if (load_payload(ctx, p, &space->segment))
		return does_not_go(f, p, key, flow, SHADOW_EVICTED);
	result = stash_put(flow, p->sequence, sh->stash, &space->segment);
	if (result == STASH_FULL || result == STASH_CONNECTION_FULL)
		return does_not_go(f, p, key, flow, result == STASH_FULL ? SHADOW_EVICTED : SHADOW_OVERRUN);
	if (rewrite_segment(f, p, &way.tuple, acknowledged) || rewrite_copy(f, p, &way.tuple, sh->traffic_class))
		return XDP_DROP;
	return send(f, p, key, way.hop);
}

static __always_inline int mirror_udp(struct frame *f, const struct packet *p, const struct shadow *sh,
				      const struct flow_key *key, struct shadow_flow *flow, enum shadow_end why)
{
	struct shadow_way way;

	if (mirror_datagram(p, sh, key, flow, why, &way) || rewrite_checksum(f, p, &way.tuple) ||
	    rewrite_copy(f, p, &way.tuple, sh->traffic_class))
		return XDP_DROP;
	return send(f, p, key, way.hop);
}

/* Its entry is kept while its client goes on, or it would be counted as another one that began unseen. */
static __always_inline int mirror_over(const struct packet *p, struct shadow_flow *flow)
{
	flow->seen = tick_now();
	if (p->tcp_flags & (TCP_FIN | TCP_RST) && !(flow->flags & SHADOW_FLOW_FIN))
		__sync_fetch_and_or(&flow->flags, SHADOW_FLOW_FIN);
	return XDP_DROP;
}

/* A client's packet. */
static __always_inline int mirror_client(struct xdp_md *ctx, struct frame *f, struct shadow_scratch *space,
					 const struct flow_key *key)
{
	const struct packet *p = &space->packet;
	__u32 service = key->service, zero = 0;
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &zero);
	struct shadow *sh = bpf_map_lookup_elem(&shadows, &service);
	struct shadow_flow *flow = bpf_map_lookup_elem(&shadow_flows, key);
	enum shadow_end why = SHADOW_WHOLE;
	struct shadow_counters *c;

	if (!sh || !guard)
		return XDP_DROP;
	if (flow && flow->flags & SHADOW_FLOW_OVER && !(p->protocol == IPPROTO_TCP && p->opens))
		return mirror_over(p, flow);
	if (!shadow_allowed(sh, service))
		why = SHADOW_OVER_CAP;
	if (sh->engine == SHADOW_REPLAY && p->protocol == IPPROTO_TCP) {
		c = shadow_counters_of(service);
		if (replay_client(ctx, p, sh, key, flow, why) && c)
			c->clones_lost++;
		return XDP_DROP;
	}
	if (!guard->native || (why != SHADOW_WHOLE && p->protocol == IPPROTO_TCP))
		return pass_up(f, p, key, why);
	if (p->protocol == IPPROTO_UDP)
		return mirror_udp(f, p, sh, key, flow, why);
	return mirror_segment(ctx, f, space, sh, key, flow);
}

SEC("xdp")
int headgate_mirror(struct xdp_md *ctx)
{
	struct shadow_scratch *space = shadow_space();
	struct frame f = frame_in_place(ctx);
	struct flow_key key = {};

	if (!space)
		return XDP_DROP;
	switch (receive(ctx, &f, &space->packet, &key)) {
	case MIRROR_CLIENT:
		return mirror_client(ctx, &f, space, &key);
	case MIRROR_SHADOW:
	case MIRROR_KICK:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}

/* --- behind it --- */

/* The reason that the XDP program wrote into the source MAC. */
static __always_inline enum shadow_end reason_of(const struct frame *f)
{
	struct ethhdr *eth = frame_at(f, 0, sizeof(*eth));

	return eth && eth->h_source[0] ? eth->h_source[0] - 1 : SHADOW_WHOLE;
}

static __always_inline int behind_udp(struct frame *f, struct engine *g, const struct shadow *sh, enum shadow_end why)
{
	const struct packet *p = &g->space->packet;
	struct shadow_way way;

	if (mirror_datagram(p, sh, &g->key, g->flow, why, &way) || rewrite_checksum(f, p, &way.tuple) ||
	    rewrite_copy(f, p, &way.tuple, sh->traffic_class) || forward_to(f, way.hop))
		return TC_ACT_SHOT;
	shadow_count_sent(g->key.service, p->bytes, 1);
	return bpf_redirect(way.hop->ifindex, 0);
}

static __always_inline int behind_client(struct frame *f, struct engine *g)
{
	struct packet *p = &g->space->packet;
	__u32 service = g->key.service;
	enum shadow_end why = reason_of(f);
	struct shadow *sh = bpf_map_lookup_elem(&shadows, &service);

	if (!sh || parse(f, p) != PARSED || p->malformed)
		return TC_ACT_SHOT;
	g->key.client = p->source;
	g->key.port = p->source_port;
	g->flow = bpf_map_lookup_elem(&shadow_flows, &g->key);
	if (p->protocol == IPPROTO_UDP)
		return behind_udp(f, g, sh, why);
	engine_client(g, p, sh, why);
	return TC_ACT_SHOT;
}

static __always_inline int behind_shadow(struct frame *f, struct engine *g)
{
	struct packet *p = &g->space->packet;
	struct service_key key = {};
	struct reply_origin *origin;

	if (parse(f, p) != PARSED || p->malformed || p->protocol != IPPROTO_TCP)
		return TC_ACT_SHOT;
	key.address = p->source;
	key.port = p->source_port;
	key.protocol = p->protocol;
	origin = bpf_map_lookup_elem(&reply_origins, &key);
	if (!origin)
		return TC_ACT_SHOT;
	g->flow = shadow_of_reply(p, origin->backend, &g->key);
	if (g->flow)
		engine_shadow(g, f, p);
	return TC_ACT_SHOT;
}

static __always_inline int behind_kick(struct engine *g)
{
	struct mirror_kick kick;

	if (bpf_skb_load_bytes(g->skb, sizeof(struct ethhdr), &kick, sizeof(kick)))
		return TC_ACT_SHOT;
	g->key = kick.flow;
	g->flow = bpf_map_lookup_elem(&shadow_flows, &g->key);
	if (g->flow)
		engine_kick(g, &kick);
	return TC_ACT_SHOT;
}

SEC("tc")
int headgate_mirror_tc(struct __sk_buff *skb)
{
	struct engine g = {.skb = skb, .space = shadow_space()};
	struct frame f = frame_pulled(skb, HEADERS_PULLED);

	if (!g.space)
		return TC_ACT_SHOT;
	switch (mirror_marked(&f, &g.key.service)) {
	case MIRROR_CLIENT:
		return behind_client(&f, &g);
	case MIRROR_SHADOW:
		return behind_shadow(&f, &g);
	case MIRROR_KICK:
		return behind_kick(&g);
	default:
		return TC_ACT_SHOT;
	}
}

char LICENSE[] __weak SEC("license") = "Dual BSD/GPL";
