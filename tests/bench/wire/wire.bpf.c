// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Both ends of the cables on which packet rates are measured. The sender is run by BPF_PROG_TEST_RUN on frames that
 * live: what it returns happens to them. It writes all headers anew each time, as the pages come back as the splitter
 * left them.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "wire.h"

#define ETH_P_IP 0x0800

struct sending sending;
__u32 virtual_address, client_address; /* network byte order, as all addresses */
__u32 flow;
__u64 random_state;

/* All run on one CPU. */
__u64 received[FORMS];
__u64 copies; /* came to the shadow */
__u64 answers;

/* The upper half of Knuth's MMIX generator. */
static __always_inline __u32 next_random(void)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return random_state >> 32;
}

static __always_inline __u32 next_port(void)
{
	if (sending.flows == 1)
		return FLOW_PORT_FIRST;
	if (!sending.in_turn)
		return FLOW_PORT_FIRST + ((__u64)next_random() * sending.flows >> 32);
	if (++flow >= sending.flows)
		flow = 0;
	return FLOW_PORT_FIRST + flow;
}

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int sender(struct xdp_md *ctx)
{
	__u32 port = next_port();
	__u8 *data;
	__u32 *to;

	/* Has the kernel forget the metadata that this page's last frame may have been given on its way. */
	if (bpf_xdp_adjust_head(ctx, SPARE_BYTES))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	to = (void *)(data + 14);
	if (data + HEADER_BYTES > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(data, sending.ethernet, 14);
#pragma unroll
	for (__u32 i = 0; i < HEADER_WORDS; i++)
		to[i] = sending.header[i];
	*(__u16 *)(data + 34) = bpf_htons(port);
	if (sending.udp)
		*(__u16 *)(data + 40) = bpf_htons(folded(sending.checksum + port));
	else
		*(__u16 *)(data + 50) = bpf_htons(folded(sending.checksum + port));
	return bpf_redirect(sending.ifindex, 0);
}

/* Where a SYN came to, its SYN-ACK goes back, so that whoever tracks connections sees one. */
static __always_inline int answer(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp)
{
	struct tcphdr was = *tcp;
	__u32 address = ip->saddr;
	__u8 mac[6];
	__s64 sum;

	__builtin_memcpy(mac, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, mac, sizeof(mac));
	ip->saddr = ip->daddr;
	ip->daddr = address;
	tcp->source = was.dest;
	tcp->dest = was.source;
	tcp->seq = bpf_htonl(RECEIVER_SEQUENCE);
	tcp->ack_seq = bpf_htonl(bpf_ntohl(was.seq) + 1);
	tcp->ack = 1;
	tcp->check = 0;
	was.check = ~was.check;
	sum = bpf_csum_diff(NULL, 0, (void *)tcp, sizeof(*tcp), was.check);
	was.check = 0;
	sum = bpf_csum_diff((void *)&was, sizeof(was), NULL, 0, sum);
	tcp->check = folded(sum);
	return bpf_redirect(ctx->ingress_ifindex, 0); /* XDP_TX wakes only a far end that runs XDP too */
}

static __always_inline enum form form_of(const struct iphdr *ip)
{
	if (ip->protocol == IPPROTO_IPIP)
		return FORM_TUNNEL;
	if (ip->daddr == virtual_address)
		return FORM_AS_SENT;
	return ip->saddr == client_address ? FORM_ROUTED : FORM_TRANSLATED;
}

SEC("xdp")
int receiver(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP)) {
		received[FORM_ELSE]++;
		return XDP_DROP;
	}
	if (eth->h_dest[5] == SHADOW_MAC_END) {
		copies++;
		return XDP_DROP;
	}
	received[form_of(ip)]++;
	if (ip->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= end && tcp->syn && !tcp->ack)
		return answer(ctx, eth, ip, tcp);
	return XDP_DROP;
}

/* At the sender's end of a cable. */
SEC("xdp")
int answered(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) <= (void *)(long)ctx->data_end && ip->protocol == IPPROTO_TCP && tcp->syn && tcp->ack &&
	    ip->saddr == virtual_address)
		answers++;
	return XDP_DROP;
}

/* In the splitter's place: the least that forwarding can be. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} way SEC(".maps");

SEC("xdp")
int forwarder(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*eth = (struct ethhdr){
		.h_dest = {2, 0, 0, 0, 0, 0x11},
		.h_source = {2, 0, 0, 0, 0, 2},
		.h_proto = bpf_htons(ETH_P_IP),
	};
	return bpf_redirect_map(&way, 0, XDP_ABORTED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
