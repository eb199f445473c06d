// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "farewell.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "ends.h"
#include "expiry.h"
#include "segment.h"

#define AT_ONCE 256    /* in a step; each takes some 20 us */
#define REPEAT_TICKS 3 /* as long, once in a tick, what may have been lost is said again */
#define OUT_BYTES 512  /* a segment in an outer packet */

struct farewell {
	int fd;        /* for frames; -1 before the first */
	int left;      /* in this step */
	bool repeats;  /* this pass is the first one in its tick */
	uint32_t tick; /* of the last pass that did */
};

/* What is known of a connection. */
struct connection {
	const struct flow_key *key;
	uint32_t backend;
	uint32_t client_next;
	uint32_t server_next;
	bool server_known;
	bool due;     /* the pace of the drain has come to it */
	bool drained; /* it has been reset as far as the programs know */
};

int farewell_create(struct farewell **ret)
{
	struct farewell *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->fd = -1;
	*ret = f;
	return 0;
}

void farewell_destroy(struct farewell *f)
{
	if (!f)
		return;
	closep(&f->fd);
	free(f);
}

void farewell_begin(struct farewell *f, uint32_t now_tick)
{
	f->repeats = now_tick != f->tick;
	f->tick = now_tick;
}

void farewell_step(struct farewell *f)
{
	f->left = AT_ONCE;
}

static int send_frame(struct farewell *f, uint32_t ifindex, const uint8_t *frame, uint32_t bytes)
{
	const struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = ETH_ALEN};

	if (f->fd < 0)
		f->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* it receives nothing */
	if (f->fd < 0 || sendto(f->fd, frame, bytes, 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

/* The way to a client. 0, or -ENOENT: its neighbour is not known, and has been asked for if it can be. */
static int way_to_client(struct splitter *sp, const struct address *client, uint32_t now_tick, struct next_hop *ret)
{
	const struct next_hop_key key = {.prefix_bits = 128, .address = *client};
	struct wanted_neighbour wanted = {.address = *client};
	struct next_hop_entry entry;

	if (datapath_lookup(sp->datapath, MAP_NEXT_HOPS, &key, &entry))
		return -ENOENT;
	if (entry.kind == NEXT_HOP_REACHABLE) {
		*ret = entry.hop;
		return 0;
	}
	wanted.ifindex = entry.hop.ifindex;
	if (entry.kind == NEXT_HOP_UNRESOLVED)
		datapath_update(sp->datapath, MAP_WANTED_NEIGHBOURS, &wanted, &now_tick);
	return -ENOENT;
}

/* As if it came from the client, by the way that goes there. */
static struct segment from_client(struct splitter *sp, const struct connection *c, const struct next_hop *way)
{
	const struct service_key *vip = &datapath_service(sp->datapath, c->key->service)->vip;
	struct segment s = {
		.from = c->key->client,
		.to = vip->address,
		.from_port = c->key->port,
		.to_port = vip->port,
		.sequence = c->client_next,
	};

	memcpy(s.from_mac, way->destination_mac, sizeof(s.from_mac));
	memcpy(s.to_mac, way->source_mac, sizeof(s.to_mac));
	return s;
}

static bool is_reset(const uint8_t *frame, uint32_t bytes, bool ipv4)
{
	uint32_t flags = ETH_HLEN + (ipv4 ? 20 : 40) + 13;

	return bytes > flags && frame[flags] & TH_RST;
}

/* True: its RST is on its way. False: it is not to be reset after all, or it cannot be reached. */
static bool reset_client(struct farewell *f, struct splitter *sp, const struct connection *c,
			 const struct next_hop *way)
{
	struct segment s = from_client(sp, c, way);
	uint8_t in[SEGMENT_FRAME_BYTES], out[OUT_BYTES];
	uint32_t bytes = sizeof(out);

	s.flags = TH_ACK;
	s.acknowledged = c->server_next;
	return datapath_decide(sp->datapath, in, segment_write(&s, in), out, &bytes) == 0 &&
	       is_reset(out, bytes, address_is_ipv4(&s.from)) && send_frame(f, way->ifindex, out, bytes) == 0;
}

/* Sequence numbers a quarter of all away from each other: at most one of them is in the client's window. */
static void ask_client(struct farewell *f, struct splitter *sp, const struct connection *c, const struct next_hop *way)
{
	const struct service_key *vip = &datapath_service(sp->datapath, c->key->service)->vip;
	struct segment s = {
		.from = vip->address,
		.to = c->key->client,
		.from_port = vip->port,
		.to_port = c->key->port,
		.sequence = f->tick << 30,
		.acknowledged = c->client_next,
		.flags = TH_ACK,
	};
	uint8_t frame[SEGMENT_FRAME_BYTES];

	memcpy(s.from_mac, way->source_mac, sizeof(s.from_mac));
	memcpy(s.to_mac, way->destination_mac, sizeof(s.to_mac));
	send_frame(f, way->ifindex, frame, segment_write(&s, frame));
}

static void reset_backend(struct farewell *f, struct splitter *sp, const struct connection *c,
			  const struct next_hop *way)
{
	const struct backend *b = datapath_backend(sp->datapath, c->backend);
	struct segment s = from_client(sp, c, way);
	uint8_t in[SEGMENT_FRAME_BYTES], out[OUT_BYTES];
	uint32_t bytes = sizeof(out);

	s.flags = TH_RST;
	if (datapath_decide(sp->datapath, in, segment_write(&s, in), out, &bytes) == 0)
		send_frame(f, b->hop[b->hop_active & 1].ifindex, out, bytes);
}

static bool is_due(struct splitter *sp, uint32_t backend, uint64_t hash)
{
	return reset_has_come(datapath_backend(sp->datapath, backend)->reset_below, hash);
}

static void tell(struct farewell *f, struct splitter *sp, const struct connection *c)
{
	struct next_hop way = {};
	int error = way_to_client(sp, &c->key->client, f->tick, &way);
	bool told = c->drained;

	f->left--;
	if (!error && c->due && c->server_known)
		told |= reset_client(f, sp, c, &way);
	else if (!error && !c->drained)
		ask_client(f, sp, c, &way);
	if (told)
		reset_backend(f, sp, c, &way);
}

/* What the backend sent last: nat's own state knows, elsewhere the sample. */
static bool find_server_next(struct splitter *sp, const struct flow_key *key, const struct flow *flow,
			     uint32_t *ret_next)
{
	struct flow_copy copy;
	uint32_t flags;

	if (datapath_service(sp->datapath, key->service)->mode == FORWARD_NAT) {
		if (!splitter_port_of_flow(sp, key, flow, &copy))
			return false;
		flags = copy.port.flags;
		*ret_next = copy.port.server_next;
	} else {
		if (!flow_tables_find_sampled(datapath_flow_tables(sp->datapath), key, &copy))
			return false;
		flags = copy.sampled.flow.flags;
		*ret_next = copy.sampled.flow.server_next;
	}
	*ret_next += flags & FLOW_SERVER_FIN ? 1 : 0;
	return flags & FLOW_ESTABLISHED;
}

/* Who has not been reset is told when its time has come, and the backend of who has; both again for a while. */
static bool is_to_be_told(const struct farewell *f, const struct flow *flow, bool due)
{
	if (f->left <= 0)
		return false;
	if (flow->flags & FLOW_DRAINED)
		return !(flow->flags & FLOW_TOLD) ||
		       (f->repeats && ticks_since(flow->drained, f->tick) <= REPEAT_TICKS);
	return due && !flow_is_over(flow->flags);
}

void farewell_flow(struct farewell *f, struct splitter *sp, const struct flow_key *key, const struct flow *flow,
		   uint64_t hash)
{
	struct connection c = {
		.key = key,
		.backend = flow->backend,
		.client_next = flow->client.next,
		.drained = flow->flags & FLOW_DRAINED,
	};
	bool asks;

	if (flow->backend >= datapath_limits(sp->datapath)->backends)
		return;
	c.due = is_due(sp, flow->backend, hash);
	if (!is_to_be_told(f, flow, c.due))
		return;
	c.server_known = find_server_next(sp, key, flow, &c.server_next);
	asks = f->repeats && datapath_service(sp->datapath, key->service)->mode != FORWARD_NAT;
	if (c.server_known || c.drained || asks)
		tell(f, sp, &c);
}

void farewell_sampled(struct farewell *f, struct splitter *sp, const struct flow_key *key,
		      const struct sampled_flow *flow, uint64_t hash)
{
	const struct flow as_flow = {.flags = flow->flags};
	struct connection c = {
		.key = key,
		.backend = flow->backend,
		.client_next = flow->client.next,
		.server_next = flow->server_next + (flow->flags & FLOW_SERVER_FIN ? 1 : 0),
		.server_known = true,
		.due = is_due(sp, flow->backend, hash),
	};

	/* One that has been reset is in the flow table, too, from then on. */
	if (!(flow->flags & FLOW_DRAINED) && flow->flags & FLOW_ESTABLISHED && is_to_be_told(f, &as_flow, c.due))
		tell(f, sp, &c);
}
