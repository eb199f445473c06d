// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The XDP hook. What is frequent is decided by the first program, in a short way; the others take over by tail call all
 * that there is more to: requests, replies, what only the whole parser reads, ICMP, and what comes from a shadow.
 */
#include "frame.h"
#include "icmp.h"
#include "plain_reply.h"

enum { PART_REQUEST, PART_REPLY, PART_RARE, PART_ICMP, PART_SHADOW, PARTS };

int headgate_xdp_request(struct xdp_md *ctx);
int headgate_xdp_reply(struct xdp_md *ctx);
int headgate_xdp_rare(struct xdp_md *ctx);
int headgate_xdp_icmp(struct xdp_md *ctx);
int headgate_xdp_shadow(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PARTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} xdp_parts SEC(".maps") = {
	.values =
		{
			[PART_REQUEST] = (void *)&headgate_xdp_request,
			[PART_REPLY] = (void *)&headgate_xdp_reply,
			[PART_RARE] = (void *)&headgate_xdp_rare,
			[PART_ICMP] = (void *)&headgate_xdp_icmp,
			[PART_SHADOW] = (void *)&headgate_xdp_shadow,
		},
};

/* Where another program was on the interface before, it sees what is passed. */
volatile const bool chains = false;

/* That program. Not there, and not looked at, unless it chains. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} chained SEC(".maps");

static __always_inline int pass(struct xdp_md *ctx)
{
	if (chains)
		bpf_tail_call(ctx, &chained, 0);
	return XDP_PASS;
}

/* Makes room behind the Ethernet header, which moves to the front. 0 or -1. */
static __always_inline int make_room(struct xdp_md *ctx, struct frame *f, struct link_header *link, __u32 room)
{
	if (link_header_save(f, link) || bpf_xdp_adjust_head(ctx, -(int)room))
		return -1;
	*f = frame_of_xdp(ctx);
	return link_header_put(f, link);
}

/* The same for an outer header. Of an Ethernet header without tags nothing stays: its MACs are the next hop's, its type
 * is the outer packet's. */
static __always_inline int make_outer_room(struct xdp_md *ctx, struct frame *f, struct link_header *link,
					   const struct packet *p, __u32 room)
{
	if (p->l3 != sizeof(struct ethhdr))
		return make_room(ctx, f, link, room);
	if (bpf_xdp_adjust_head(ctx, -(int)room))
		return -1;
	f->data = (void *)(long)ctx->data;
	f->end = (void *)(long)ctx->data_end;
	f->bytes += room;
	return 0;
}

/* 0 or -1: there is no room, or a header is not where it was. */
static __always_inline int edit(struct xdp_md *ctx, struct frame *f, struct link_header *link, const struct packet *p,
				const struct departure *to)
{
	if (to->edit == EDIT_DONE)
		return 0;
	if (to->edit == EDIT_TUPLE) {
		if (p->l4 && (rewrite_checksum(f, p, &to->tuple) || rewrite_ports(f, p, &to->tuple)))
			return -1;
		return rewrite_addresses(f, p, &to->tuple);
	}
	if (rewrite_age(f, p))
		return -1;
	if (to->edit == EDIT_NONE)
		return 0;
	if (make_outer_room(ctx, f, link, p, outer_bytes(to)))
		return -1;
	return outer_write(f, p, to);
}

/* Says in front of the frame what it was before it was edited. 0 or -1: the driver leaves no room there. */
static __always_inline int describe(struct xdp_md *ctx, const struct packet *p, const struct departure *to)
{
	struct mirrored *at;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*at)))
		return -1;
	at = (void *)(long)ctx->data_meta;
	if ((void *)(at + 1) > (void *)(long)ctx->data)
		return -1;
	*at = mirror_description(p, to);
	return 0;
}

/* Where a packet is sent by that leaves by an interface and is copied, or NULL. Ways out are few: to look through them
 * takes less than a hash. */
static __always_inline void *mirror_of(__u32 ifindex)
{
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &(__u32){0});
	__u32 at;

	if (!guard)
		return NULL;
	for (at = 0; at < MIRROR_WAYS_MAX; at++)
		if (guard->way_out[at] == ifindex)
			break;
	return bpf_map_lookup_elem(&mirrors, &at);
}

/* XDP_REDIRECT: out, and to the mirror. XDP_ABORTED: it has to go alone. */
static __always_inline int send_with_copy(struct xdp_md *ctx, const struct frame *f, const struct packet *p,
					  const struct departure *to)
{
	bool in_pieces = bpf_xdp_get_buff_len(ctx) != (__u32)(f->end - f->data);
	void *both = NULL;

	if (!in_pieces && f->bytes <= MIRROR_FRAME_BYTES)
		both = mirror_of(to->hop->ifindex);
	if (both && !describe(ctx, p, to))
		return bpf_redirect_map(both, 0, BPF_F_BROADCAST);
	count_clone_lost(to->service);
	return XDP_ABORTED;
}

/* Back out of the interface it came in by, or out of another one. @link: room for what is behind the outer header. */
static __always_inline int send(struct xdp_md *ctx, struct frame *f, struct link_header *link, const struct packet *p,
				const struct departure *to, bool mirror)
{
	int action = XDP_TX;

	if (edit(ctx, f, link, p, to) || forward_to(f, to->hop)) {
		drop(to->service, DROP_MALFORMED);
		return XDP_DROP;
	}
	if (mirror && send_with_copy(ctx, f, p, to) == XDP_REDIRECT)
		action = XDP_REDIRECT;
	else if (to->hop->ifindex != ctx->ingress_ifindex)
		action = bpf_redirect_map(&devices, to->hop->ifindex, XDP_DROP);
	if (action == XDP_DROP)
		drop(to->service, DROP_NO_NEXT_HOP);
	else
		count_departure(p, to);
	return action;
}

/* The frame becomes the segment that answers it, and goes back where it came from. */
static __always_inline int answer_with_tcp(struct xdp_md *ctx, const struct packet *p, const struct tcphdr *answer)
{
	struct frame f;

	if (bpf_xdp_adjust_tail(ctx, (int)answer_frame_bytes(p) - (int)bpf_xdp_get_buff_len(ctx)))
		return XDP_DROP;
	f = frame_of_xdp(ctx);
	return answer_tcp_write(&f, p, answer) ? XDP_DROP : XDP_TX;
}

static __always_inline int answer_with_reset(struct xdp_md *ctx, const struct packet *p)
{
	struct tcphdr answer;

	reset_tcp(p, &answer);
	return answer_with_tcp(ctx, p, &answer);
}

static __always_inline int answer_with_acknowledgement(struct xdp_md *ctx, const struct packet *p,
						       const struct departure *to)
{
	struct tcphdr answer;

	acknowledge_tcp(p, to->sequence, to->acknowledged, &answer);
	return answer_with_tcp(ctx, p, &answer);
}

/* To the program behind the mirror, which knows it by its MACs. */
static __always_inline int hand_to_mirror(struct frame *f, const struct departure *to)
{
	__u32 mirror = mirror_ifindex();

	if (!mirror || mirror_mark(f, MIRROR_SHADOW, to->service))
		return XDP_DROP;
	return bpf_redirect(mirror, 0);
}

/* The frame becomes "too big" with a quotation of itself, and goes back where it came from. */
static __always_inline int answer_with_too_big(struct xdp_md *ctx, struct frame *f, struct scratch *space,
					       const struct departure *to)
{
	const struct packet *p = &space->packet;
	__u64 sum;

	if (!too_big_is_told(p) || quote_sum(f, p->l3, &sum))
		return XDP_DROP;
	if (bpf_xdp_adjust_tail(ctx, (int)(p->l3 + QUOTE_BYTES) - (int)bpf_xdp_get_buff_len(ctx)))
		return XDP_DROP;
	*f = frame_of_xdp(ctx);
	if (make_room(ctx, f, &space->link, too_big_room(p)) || too_big_write(f, p, to->mtu, sum))
		return XDP_DROP;
	count_too_big(to->service);
	return XDP_TX;
}

/* A copy for the daemon, which has it come in again. 0 or -1: there is no room. */
static __always_inline int hold_early_fragment(struct xdp_md *ctx, const struct packet *p)
{
	__u32 last = p->frame_bytes - 1; /* its number: of 0 bytes it is too high */
	struct early_fragment *early;

	if (last >= EARLY_FRAGMENT_BYTES)
		return -1;
	/* The size is reckoned from it: Linux 6.1's verifier does not see that a number compared with 0 is above. */
	asm volatile("" : "+r"(last));
	early = bpf_ringbuf_reserve(&early_fragments, sizeof(*early), 0);
	if (!early)
		return -1;
	early->ifindex = ctx->ingress_ifindex;
	early->length = last + 1;
	if (bpf_xdp_load_bytes(ctx, 0, early->frame, last + 1)) {
		bpf_ringbuf_discard(early, 0);
		return -1;
	}
	bpf_ringbuf_submit(early, 0);
	return 0;
}

static __always_inline int go_on_in(struct xdp_md *ctx, __u32 part)
{
	bpf_tail_call(ctx, &xdp_parts, part);
	return pass(ctx);
}

/* What was decided is done. Each program has but the verdicts that it can come to: clang knows them. */
static __always_inline int carry_out(struct xdp_md *ctx, struct frame *f, struct scratch *space, enum verdict verdict,
				     const struct departure *to)
{
	switch (verdict) {
	case VERDICT_SEND:
	case VERDICT_MIRROR:
		return send(ctx, f, &space->link, &space->packet, to, verdict == VERDICT_MIRROR);
	case VERDICT_RESET:
		return answer_with_reset(ctx, &space->packet);
	case VERDICT_ACKNOWLEDGE:
		return answer_with_acknowledgement(ctx, &space->packet, to);
	case VERDICT_HAND_OVER:
		return hand_to_mirror(f, to);
	case VERDICT_TOO_BIG:
		return answer_with_too_big(ctx, f, space, to);
	case VERDICT_ECHO:
		return XDP_TX;
	case VERDICT_EARLY:
		if (hold_early_fragment(ctx, &space->packet) && fragment_not_held(to->service) == VERDICT_PASS)
			return pass(ctx);
		return XDP_DROP;
	case VERDICT_DROP:
		return XDP_DROP;
	case VERDICT_REPLY:
		return go_on_in(ctx, PART_REPLY);
	case VERDICT_RARE:
		return go_on_in(ctx, PART_RARE);
	case VERDICT_ICMP:
		return go_on_in(ctx, PART_ICMP);
	case VERDICT_SHADOW:
		bpf_tail_call(ctx, &xdp_parts, PART_SHADOW);
		return XDP_DROP;
	default:
		return pass(ctx);
	}
}

/* The short way, in each mode by itself. -1: it is not for this packet, to which nothing has been done. */
static __always_inline int go_in_mode(struct xdp_md *ctx, struct frame *f, const struct packet *p,
				      const struct service *s, __u32 service, enum forward_mode mode)
{
	struct departure to = {.service = service};
	struct link_header link;

	return plain_split(f, p, s, mode, &to) ? send(ctx, f, &link, p, &to, false) : -1;
}

static __always_inline int go_plain(struct xdp_md *ctx, struct frame *f, bool ipv6, __u32 service)
{
	struct service *s = bpf_map_lookup_elem(&services, &service);
	struct packet p = {};

	if (!s || !plain_parse(f, ipv6, &p) || !plain_is_for(s, &p))
		return -1;
	switch (s->mode) {
	case FORWARD_NAT:
		return go_in_mode(ctx, f, &p, s, service, FORWARD_NAT);
	case FORWARD_DNAT:
		return go_in_mode(ctx, f, &p, s, service, FORWARD_DNAT);
	case FORWARD_L2DSR:
		return go_in_mode(ctx, f, &p, s, service, FORWARD_L2DSR);
	case FORWARD_IPIP:
		return go_in_mode(ctx, f, &p, s, service, FORWARD_IPIP);
	case FORWARD_GUE:
		return go_in_mode(ctx, f, &p, s, service, FORWARD_GUE);
	default:
		return -1;
	}
}

static __always_inline int go_back_in_mode(struct xdp_md *ctx, struct frame *f, const struct packet *p,
					   enum forward_mode mode, __u32 service, __u32 endpoint)
{
	struct departure to = {};
	struct link_header link;

	return plain_split_reply(f, p, mode, service, endpoint, &to) ? send(ctx, f, &link, p, &to, false) : -1;
}

/* @end: as glance() has named it */
static __always_inline int go_back_plain(struct xdp_md *ctx, struct frame *f, bool ipv6, __u32 end)
{
	__u32 endpoint = end & END_ENDPOINT;
	struct backend *b = bpf_map_lookup_elem(&backends, &endpoint);
	struct packet p = {};

	if (!b || !plain_parse(f, ipv6, &p) || !plain_is_from(b, &p))
		return -1;
	return end & END_DNAT ? go_back_in_mode(ctx, f, &p, FORWARD_DNAT, b->service, endpoint)
			      : go_back_in_mode(ctx, f, &p, FORWARD_NAT, b->service, endpoint);
}

static __always_inline int go_on_as_request(struct xdp_md *ctx, __u32 seen)
{
	struct scratch *space = scratch_space();

	if (!space)
		return pass(ctx);
	space->seen = seen;
	return go_on_in(ctx, PART_REQUEST);
}

/* The first look, and the short ways. */
SEC("xdp")
int headgate_xdp(struct xdp_md *ctx)
{
	struct frame f = frame_in_place(ctx);
	__u32 seen;
	int action;

	switch (glance(&f, &seen)) {
	case SIGHT_STRANGER:
		return pass(ctx);
	case SIGHT_REQUEST:
		action = seen & SEEN_IPV6 ? go_plain(ctx, &f, true, seen & SEEN_END)
					  : go_plain(ctx, &f, false, seen & SEEN_END);
		return action >= 0 ? action : go_on_as_request(ctx, seen);
	case SIGHT_PLAIN_REPLY:
		action = seen & SEEN_IPV6 ? go_back_plain(ctx, &f, true, seen & SEEN_END)
					  : go_back_plain(ctx, &f, false, seen & SEEN_END);
		return action >= 0 ? action : go_on_in(ctx, PART_REPLY);
	case SIGHT_REPLY:
		return go_on_in(ctx, PART_REPLY);
	default:
		return go_on_as_request(ctx, seen);
	}
}

/* What comes from a client, and is not so plain. */
SEC("xdp")
int headgate_xdp_request(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct departure to = {};
	struct frame f;
	__u32 seen;

	if (!space)
		return pass(ctx);
	seen = *(volatile __u32 *)&space->seen;
	f = seen & SEEN_WHOLE ? frame_in_place(ctx) : frame_of_xdp(ctx);
	return carry_out(ctx, &f, space, split(&f, false, seen, &space->packet, &to), &to);
}

/* What comes from a backend. */
SEC("xdp")
int headgate_xdp_reply(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of_xdp(ctx);
	struct departure to = {};

	if (!space)
		return pass(ctx);
	return carry_out(ctx, &f, space, split_from_backend(&f, &space->packet, &to), &to);
}

/* Fragments and IPv6 extension headers from clients, and fragments from anywhere but a datagram's first. */
SEC("xdp")
int headgate_xdp_rare(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of_xdp(ctx);
	struct departure to = {};

	if (!space)
		return pass(ctx);
	return carry_out(ctx, &f, space, split(&f, true, SEEN_NOTHING, &space->packet, &to), &to);
}

SEC("xdp")
int headgate_xdp_icmp(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of_xdp(ctx);
	struct departure to = {};

	if (!space)
		return pass(ctx);
	return carry_out(ctx, &f, space, split_icmp(&f, &space->packet, &to), &to);
}

/* What comes from a shadow. */
SEC("xdp")
int headgate_xdp_shadow(struct xdp_md *ctx)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of_xdp(ctx);
	struct departure to = {};
	int action;

	if (!space)
		return XDP_DROP;
	action = carry_out(ctx, &f, space, split_shadow(&f, &space->packet, &to), &to);
	/* veth wakes its peer for what is transmitted only where that runs a program too. */
	return action == XDP_TX ? bpf_redirect_map(&devices, ctx->ingress_ifindex, XDP_TX) : action;
}

/*
 * Run by the daemon alone, on a fragment that is to come in again where no XDP program runs natively: the frame goes
 * the way of those that such a driver receives.
 */
SEC("xdp")
int headgate_xdp_receive(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] __weak SEC("license") = "Dual BSD/GPL";
