// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The TC hook (clsact, ingress), for interfaces without XDP: the same path, carried out on an skb. Its headers are in
 * skb->data after bpf_skb_pull_data(); an outermost VLAN tag is beside it, and stays there.
 */
#include "frame.h"
#include "icmp.h"

#define TC_ACT_UNSPEC (-1)                      /* on to the filters of others, where TC_ACT_OK would be the end */
#define HEADERS_PULLED_RARE (HEADERS_MAX + 64U) /* what any packet may have of headers */
#define MACS_BYTES 12U
#define TAG_BYTES 4U

enum { PART_REPLY, PART_RARE, PART_ICMP, PART_SHADOW, PARTS };

int headgate_tc_reply(struct __sk_buff *skb);
int headgate_tc_rare(struct __sk_buff *skb);
int headgate_tc_icmp(struct __sk_buff *skb);
int headgate_tc_shadow(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PARTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} tc_parts SEC(".maps") = {
	.values =
		{
			[PART_REPLY] = (void *)&headgate_tc_reply,
			[PART_RARE] = (void *)&headgate_tc_rare,
			[PART_ICMP] = (void *)&headgate_tc_icmp,
			[PART_SHADOW] = (void *)&headgate_tc_shadow,
		},
};

/* Makes room behind the Ethernet header and the tags that stand in the frame. 0 or -1. */
static __always_inline int make_room(struct __sk_buff *skb, struct frame *f, struct scratch *space, __u32 room,
				     __u64 flags)
{
	if (link_header_save(f, &space->link))
		return -1;
	/* With a tag in the frame the first is refused, and the second knows no segments. */
	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags) &&
	    (skb->gso_size || bpf_skb_change_head(skb, room, 0)))
		return -1;
	bpf_skb_pull_data(skb, space->packet.l3 + room);
	*f = frame_of_skb(skb);
	return link_header_put(f, &space->link);
}

static __always_inline __u64 encapsulation_flags(const struct departure *to)
{
	/* Segments stay as long as they are: that they fit has been seen to. */
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;

	flags |=
		address_is_mapped(&to->tuple.destination) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	return to->edit == EDIT_GUE ? flags | BPF_F_ADJ_ROOM_ENCAP_L4_UDP : flags;
}

/*
 * The transport header's checksum by the kernel's helper, which alone knows whether it is the whole checksum or the
 * pseudo header's, to be completed by whoever sends the skb. 0 or -1.
 */
static __always_inline int change_checksum(struct __sk_buff *skb, const struct packet *p, const struct tuple *to)
{
	__u32 at = p->l4 + (p->protocol == IPPROTO_TCP ? 16 : 6);
	__u64 flags = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (bpf_l4_csum_replace(skb, at, 0, checksum_fold(address_difference(p, to)), flags | BPF_F_PSEUDO_HDR))
		return -1;
	return bpf_l4_csum_replace(skb, at, 0, checksum_fold(port_difference(p, to)), flags) ? -1 : 0;
}

/* 0 or -1: there is no room, or a header is not where it was. */
static __always_inline int edit(struct __sk_buff *skb, struct frame *f, struct scratch *space,
				const struct departure *to)
{
	const struct packet *p = &space->packet;

	if (to->edit == EDIT_DONE)
		return 0;
	if (to->edit == EDIT_TUPLE) {
		if (p->l4 && change_checksum(skb, p, &to->tuple))
			return -1;
		*f = frame_of_skb(skb);
		if (p->l4 && rewrite_ports(f, p, &to->tuple))
			return -1;
		return rewrite_addresses(f, p, &to->tuple);
	}
	if (rewrite_age(f, p))
		return -1;
	if (to->edit == EDIT_NONE)
		return 0;
	if (make_room(skb, f, space, outer_bytes(to), encapsulation_flags(to)))
		return -1;
	return outer_write(f, p, to);
}

/*
 * As it came, but for the MACs: those it gets when it is sent. The helper's own result is nobody's: it is about the
 * copy.
 */
static __always_inline void copy_to_mirror(struct __sk_buff *skb, struct frame *f, const struct departure *to)
{
	struct shadow_guard *guard = bpf_map_lookup_elem(&shadow_guard, &(__u32){0});

	if (!guard || !guard->mirror || mirror_mark(f, MIRROR_CLIENT, to->service) ||
	    bpf_clone_redirect(skb, guard->mirror, 0))
		count_clone_lost(to->service);
	*f = frame_of_skb(skb);
}

static __always_inline int send(struct __sk_buff *skb, struct frame *f, struct scratch *space,
				const struct departure *to, bool mirror)
{
	if (mirror)
		copy_to_mirror(skb, f, to);
	if (edit(skb, f, space, to) || forward_to(f, to->hop)) {
		drop(to->service, DROP_MALFORMED);
		return TC_ACT_SHOT;
	}
	count_departure(&space->packet, to);
	return bpf_redirect(to->hop->ifindex, 0);
}

/* Back where it came from. */
static __always_inline int send_back(struct __sk_buff *skb)
{
	return bpf_redirect(skb->ifindex, 0);
}

/*
 * Whether the checksum at @at is left to whoever sends the skb: then the helper does not touch it when data that it
 * covers is said to have changed. What is tried is undone.
 */
static __always_inline bool checksum_is_partial(struct __sk_buff *skb, __u32 at)
{
	__u16 before = 0, after = 0;

	if (bpf_skb_load_bytes(skb, at, &before, sizeof(before)) || bpf_l4_csum_replace(skb, at, 0, 1, 0) ||
	    bpf_skb_load_bytes(skb, at, &after, sizeof(after)))
		return false;
	if (before == after)
		return true;
	bpf_skb_store_bytes(skb, at, &before, sizeof(before), 0);
	return false;
}

/*
 * The frame becomes the segment that answers it, and goes back. Where the sender of the skb completes the checksum, it
 * is begun only.
 */
static __always_inline int answer_with_tcp(struct __sk_buff *skb, const struct packet *p, struct tcphdr *answer)
{
	__u32 ip_bytes = p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	bool partial = checksum_is_partial(skb, p->l4 + 16);
	struct frame f;

	if (partial && p->l4 != p->l3 + ip_bytes)
		return TC_ACT_SHOT; /* the place of the checksum is fixed, and is not the answer's */
	if (partial)
		answer->check = ~checksum_apply(0xffff, pseudo_sum(p, IPPROTO_TCP, sizeof(*answer)));
	if (bpf_skb_change_tail(skb, answer_frame_bytes(p), 0))
		return TC_ACT_SHOT;
	f = frame_pulled(skb, HEADERS_PULLED);
	return answer_tcp_write(&f, p, answer) ? TC_ACT_SHOT : send_back(skb);
}

static __always_inline int answer_with_reset(struct __sk_buff *skb, const struct packet *p)
{
	struct tcphdr answer;

	reset_tcp(p, &answer);
	return answer_with_tcp(skb, p, &answer);
}

static __always_inline int answer_with_acknowledgement(struct __sk_buff *skb, const struct packet *p,
						       const struct departure *to)
{
	struct tcphdr answer;

	acknowledge_tcp(p, to->sequence, to->acknowledged, &answer);
	return answer_with_tcp(skb, p, &answer);
}

/* To the program behind the mirror, which knows it by its MACs. */
static __always_inline int hand_to_mirror(const struct frame *f, const struct departure *to)
{
	__u32 mirror = mirror_ifindex();

	if (!mirror || mirror_mark(f, MIRROR_SHADOW, to->service))
		return TC_ACT_SHOT;
	return bpf_redirect(mirror, 0);
}

/*
 * What the quotation will add up to as it leaves. Where its transport checksum is still to be completed, all that it
 * covers will add up to the complement of what stands in its place now (Documentation/networking/checksum-offloads.rst,
 * "LCO"). 0 or -1.
 */
static __always_inline int quote_sum_as_sent(struct __sk_buff *skb, struct frame *f, const struct packet *p, __u64 *ret)
{
	__u32 check_at = p->l4 + (p->protocol == IPPROTO_TCP ? 16 : 6);
	bool partial = checksum_is_partial(skb, check_at);
	__u64 sum = 0;
	__u16 check;
	__u16 *word;

	*f = frame_of_skb(skb);
	if (!partial)
		return quote_sum(f, p->l3, ret);
	if (bpf_skb_load_bytes(skb, check_at, &check, sizeof(check)))
		return -1;
	*f = frame_of_skb(skb);
	for (__u32 i = 0; i < QUOTE_BYTES / 2; i++) {
		word = frame_at(f, p->l3 + 2 * i, sizeof(*word));
		if (p->l3 + 2 * i >= p->l4)
			break;
		if (!word)
			return -1;
		sum += *word;
	}
	*ret = sum + (__u16)~check;
	return 0;
}

/* The frame becomes "too big" with a quotation of itself. */
static __always_inline int answer_with_too_big(struct __sk_buff *skb, struct frame *f, struct scratch *space,
					       const struct departure *to)
{
	const struct packet *p = &space->packet;
	__u64 sum;

	if (!too_big_is_told(p) || bpf_skb_change_tail(skb, p->l3 + QUOTE_BYTES, 0))
		return TC_ACT_SHOT;
	bpf_skb_pull_data(skb, p->l3 + QUOTE_BYTES);
	if (quote_sum_as_sent(skb, f, p, &sum) || make_room(skb, f, space, too_big_room(p), 0) ||
	    too_big_write(f, p, to->mtu, sum))
		return TC_ACT_SHOT;
	count_too_big(to->service);
	return send_back(skb);
}

/*
 * A frame as it came, with the tag that is beside the skb. 0 or -1.
 * @last: number of its last byte. The size is reckoned from it: Linux 6.1's verifier does not see that a number
 * compared with 0 is above.
 */
static __always_inline int copy_frame(struct __sk_buff *skb, __u8 *to, __u32 last)
{
	__be16 tag[2] = {skb->vlan_proto, bpf_htons(skb->vlan_tci)};

	if (!skb->vlan_present) {
		asm volatile("" : "+r"(last));
		return bpf_skb_load_bytes(skb, 0, to, last + 1) ? -1 : 0;
	}
	if (last >= EARLY_FRAGMENT_BYTES - TAG_BYTES)
		return -1;
	asm volatile("" : "+r"(last));
	if (bpf_skb_load_bytes(skb, 0, to + TAG_BYTES, last + 1) || bpf_skb_load_bytes(skb, 0, to, MACS_BYTES))
		return -1;
	__builtin_memcpy(to + MACS_BYTES, tag, sizeof(tag));
	return 0;
}

/* A copy for the daemon, which has it come in again. 0 or -1: there is no room. */
static __always_inline int hold_early_fragment(struct __sk_buff *skb, const struct packet *p)
{
	__u32 last = p->frame_bytes - 1; /* its number: of 0 bytes it is too high */
	struct early_fragment *early;

	if (last >= EARLY_FRAGMENT_BYTES)
		return -1;
	early = bpf_ringbuf_reserve(&early_fragments, sizeof(*early), 0);
	if (!early)
		return -1;
	early->ifindex = skb->ifindex;
	early->length = p->frame_bytes + (skb->vlan_present ? TAG_BYTES : 0);
	if (copy_frame(skb, early->frame, last)) {
		bpf_ringbuf_discard(early, 0);
		return -1;
	}
	bpf_ringbuf_submit(early, 0);
	return 0;
}

static __always_inline int go_on_in(struct __sk_buff *skb, __u32 part)
{
	bpf_tail_call(skb, &tc_parts, part);
	return TC_ACT_UNSPEC;
}

/* What was decided is done. Each program has but the verdicts that it can come to: clang knows them. */
static __always_inline int carry_out(struct __sk_buff *skb, struct frame *f, struct scratch *space,
				     enum verdict verdict, const struct departure *to)
{
	switch (verdict) {
	case VERDICT_SEND:
	case VERDICT_MIRROR:
		return send(skb, f, space, to, verdict == VERDICT_MIRROR);
	case VERDICT_RESET:
		return answer_with_reset(skb, &space->packet);
	case VERDICT_ACKNOWLEDGE:
		return answer_with_acknowledgement(skb, &space->packet, to);
	case VERDICT_HAND_OVER:
		return hand_to_mirror(f, to);
	case VERDICT_TOO_BIG:
		return answer_with_too_big(skb, f, space, to);
	case VERDICT_ECHO:
		return send_back(skb);
	case VERDICT_EARLY:
		if (hold_early_fragment(skb, &space->packet) && fragment_not_held(to->service) == VERDICT_PASS)
			return TC_ACT_UNSPEC;
		return TC_ACT_SHOT;
	case VERDICT_DROP:
		return TC_ACT_SHOT;
	case VERDICT_REPLY:
		return go_on_in(skb, PART_REPLY);
	case VERDICT_RARE:
		return go_on_in(skb, PART_RARE);
	case VERDICT_ICMP:
		return go_on_in(skb, PART_ICMP);
	case VERDICT_SHADOW:
		bpf_tail_call(skb, &tc_parts, PART_SHADOW);
		return TC_ACT_SHOT;
	default:
		return TC_ACT_UNSPEC;
	}
}

SEC("tc")
int headgate_tc(struct __sk_buff *skb)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_of_skb(skb);
	struct departure to = {};
	__u32 seen;

	if (!space)
		return TC_ACT_UNSPEC;
	switch (glance(&f, &seen)) {
	case SIGHT_STRANGER:
		return TC_ACT_UNSPEC;
	case SIGHT_PLAIN_REPLY:
	case SIGHT_REPLY:
		return go_on_in(skb, PART_REPLY);
	default:
		break;
	}
	/* Any number to the verifier, which would follow each one that it can be by itself. */
	space->seen = seen;
	seen = *(volatile __u32 *)&space->seen;
	f = frame_pulled(skb, HEADERS_PULLED);
	return carry_out(skb, &f, space, split(&f, false, seen, &space->packet, &to), &to);
}

/* What comes from a backend. */
SEC("tc")
int headgate_tc_reply(struct __sk_buff *skb)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_pulled(skb, HEADERS_PULLED);
	struct departure to = {};

	if (!space)
		return TC_ACT_UNSPEC;
	return carry_out(skb, &f, space, split_from_backend(&f, &space->packet, &to), &to);
}

/* Fragments and IPv6 extension headers from clients, and fragments from anywhere but a datagram's first. */
SEC("tc")
int headgate_tc_rare(struct __sk_buff *skb)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_pulled(skb, HEADERS_PULLED_RARE);
	struct departure to = {};

	if (!space)
		return TC_ACT_UNSPEC;
	return carry_out(skb, &f, space, split(&f, true, SEEN_NOTHING, &space->packet, &to), &to);
}

SEC("tc")
int headgate_tc_icmp(struct __sk_buff *skb)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_pulled(skb, HEADERS_PULLED);
	struct departure to = {};

	if (!space)
		return TC_ACT_UNSPEC;
	return carry_out(skb, &f, space, split_icmp(&f, &space->packet, &to), &to);
}

/* What comes from a shadow. */
SEC("tc")
int headgate_tc_shadow(struct __sk_buff *skb)
{
	struct scratch *space = scratch_space();
	struct frame f = frame_pulled(skb, HEADERS_PULLED);
	struct departure to = {};

	if (!space)
		return TC_ACT_SHOT;
	return carry_out(skb, &f, space, split_shadow(&f, &space->packet, &to), &to);
}

/* One thread of the daemon's uses it: the CPU's own is that of the packets that come while it runs. */
static struct scratch made_up_space;

static __always_inline void flow_told(const struct packet *p, __u32 service)
{
	struct flow_key key;
	struct sought sought;
	struct flow *f;

	flow_key_of_request(p, service, &key);
	f = flow_find(&key, SEARCH_ALL, &sought);
	if (f)
		__sync_fetch_and_or(&f->flags, FLOW_TOLD);
}

/*
 * Run by the daemon alone, on a client's packet that it makes up for one who says nothing: what is to become of it is
 * decided as ever, and the frame that comes out is the daemon's to send. Attached nowhere.
 */
SEC("tc")
int headgate_tc_made_up(struct __sk_buff *skb)
{
	struct frame f = frame_pulled(skb, HEADERS_PULLED);
	struct scratch *space = &made_up_space;
	struct departure to = {};
	int action;

	/* Known to clang as a pointer only, as in the other programs: the verifier walks a third of the paths. */
	asm volatile("" : "+r"(space));
	action = carry_out(skb, &f, space, split(&f, false, SEEN_NOTHING, &space->packet, &to), &to);
	if (space->packet.tcp_flags & TCP_RST)
		flow_told(&space->packet, to.service);
	return action;
}

char LICENSE[] __weak SEC("license") = "Dual BSD/GPL";
