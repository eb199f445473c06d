/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ABI_H
#define HEADGATE_ABI_H

/*
 * What the programs and headgated say to each other: keys and values of every pinned map.
 *
 * A change of any layout here is a new HEADGATE_ABI, and with it a new folder in bpffs: a daemon never adopts
 * maps whose bytes it would misread. The includer provides __u8.. and __be16 (vmlinux.h or linux/types.h).
 */
#define HEADGATE_ABI 8

#define SLOTS 65536U         /* hash buckets of a table: 16 bits of the tuple's hash */
#define VARIANTS_MAX 16U     /* of one service */
#define SOURCES_MAX 16U      /* source addresses of one NAT service */
#define SOURCE_IDS_MAX 1024U /* source addresses of all services together */
#define SERVER_ID_MAX 8U     /* bytes of a QUIC server id */

/* An IPv4 or IPv6 address in network byte order; IPv4 is mapped, ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
struct address {
	__u32 word[4];
};

/* A slot's entry: the backend's id, and whether flows of this slot are remembered. */
typedef __u32 slot_entry;
#define SLOT_BACKEND 0x00ffffffU
#define SLOT_TRACKED 0x80000000U

/* One row: a whole table of a service or of a cohort's variant, or the base of one. */
struct row {
	slot_entry slot[SLOTS];
};
_Static_assert(sizeof(struct row) == 262144, "a row is 256 KiB");

/* Which rows a table is made of. @entries changes by one store, and that is what a switch is. */
struct table {
	__u32 entries; /* row of the entries in force */
	__u32 base;    /* row of where tracked slots last settled; unread while nothing is tracked */
};
_Static_assert(sizeof(struct table) == 8, "ABI");

#define ROW_NONE 0U /* row 0 is never handed out */

struct service_key {
	struct address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 zero;
};
_Static_assert(sizeof(struct service_key) == 20, "ABI");

/*
 * Ends that packets may be ours by: services' addresses and ports, and those of backends that answer here. Each is at
 * hash_end(): if no other end is there a service's id, or an endpoint's that answers here, as struct reply_origin has
 * it, with END_BACKEND, and END_DNAT where its mode is that; END_LOOK_UP, if it takes a closer look; 0: nobody. Ids
 * that do not fit are looked up.
 */
#define ENDS 65536U
#define END_BACKEND 0x8000U
#define END_DNAT 0x4000U
#define END_ENDPOINT 0x3fffU
#define END_LOOK_UP 0xffffU
struct known_ends {
	__u16 end[ENDS];
};
_Static_assert(sizeof(struct known_ends) == 131072, "ABI");

enum forward_mode {
	FORWARD_NAT,    /* destination and source rewritten; every flow has state */
	FORWARD_DNAT,   /* destination rewritten; replies by the static reverse map */
	FORWARD_L2DSR,  /* the frame's MAC rewritten; replies do not come by here, nor in the modes below */
	FORWARD_IPIP,   /* in another IP packet to the backend (RFC 2003, RFC 2473) */
	FORWARD_GUE,    /* in UDP to the backend (draft-ietf-intarea-gue-09, as Linux has it) */
	FORWARD_SHADOW, /* no service's: whose replies are a shadow's, and are forwarded nowhere */
};

enum service_flags {
	SERVICE_CLIENT_AFFINITY = 1 << 0, /* the slot is of the client's address alone */
	SERVICE_COHORTS = 1 << 1,         /* some client may be in a cohort */
	SERVICE_UDP_MISS_BASE = 1 << 2,   /* an unknown UDP flow of a tracked slot goes to base, not to the entry */
	SERVICE_QUIC = 1 << 3,            /* UDP that is QUIC: only an Initial (or 0-RTT) opens a flow */
	SERVICE_SHADOW = 1 << 4,          /* connections of the sample, and by rule, are mirrored */
	SERVICE_SHADOW_RULES = 1 << 5,    /* some client's may always or never be */
};

/* Where outer packets of one family come from. */
struct outer_source {
	struct address address; /* zero: the backend's source */
	__u32 entropy;          /* bits of its last word, host byte order, that the flow's hash fills */
};
_Static_assert(sizeof(struct outer_source) == 20, "ABI");

/* One service, by id; id 0 is never used. What nearly every packet needs is in the first cache line. */
struct service {
	struct table main;
	struct service_key vip;
	__u32 flags;                  /* enum service_flags */
	__u32 seed;                   /* of the slot hash; made from the service's name */
	__u32 measure_mask;           /* stateless modes: connections whose hash has none of these bits are measured */
	__u8 mode;                    /* enum forward_mode */
	__u8 source_count;            /* 0: each backend's own source is used */
	__be16 tunnel_port;           /* gue: destination port of the outer UDP header */
	struct outer_source outer[2]; /* ipip, gue: towards IPv4 and IPv6 backends, [1] IPv6 */
	__u16 port_min; /* of rewritten sources, host byte order, both inclusive; the pair is one aligned 32-bit word */
	__u16 port_max;
	__u16 source[SOURCES_MAX]; /* ids of the addresses to rewrite to */
	__u8 server_id_bytes; /* QUIC: length of the server id in connection ids, 1..SERVER_ID_MAX; 0: no routing by
				 them */
	__u8 zero;
	__u16 shadow_sample; /* of SHADOW_SAMPLE_ALL connections so many are mirrored */
	__u32 zeros;
	struct table variant[VARIANTS_MAX]; /* tables of variants that a cohort points at */
};
_Static_assert(sizeof(struct service) == 256, "ABI: a multiple of 8, as the kernel lays out mapped arrays");

struct cohort_key {
	__u32 prefix_bits; /* 32 for the service, plus the bits of the (mapped) source prefix */
	__u32 service;
	struct address source;
};
_Static_assert(sizeof(struct cohort_key) == 24, "ABI");

/*
 * Where members of a source prefix go: like a slot, @fresh is for new connections and @older for those older than the
 * change, which matters while @tracked. Each is an index in struct service's variant[], or COHORT_SERVICE for the
 * service's own table (a rule on its way in is older there; one on its way out is fresh there).
 */
#define COHORT_SERVICE VARIANTS_MAX
struct cohort {
	__u32 fresh;
	__u32 older;
	__u32 tracked; /* 0: @fresh alone counts */
	__u32 zero;
};
_Static_assert(sizeof(struct cohort) == 16, "ABI");

/* How a frame reaches a neighbour. All zero: not known (yet). */
struct next_hop {
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 ifindex; /* of the interface that leads there */
};
_Static_assert(sizeof(struct next_hop) == 16, "ABI");

#define RESET_EVERYONE 0xffffU /* struct backend's reset_below */

/* One backend, by id; id 0 is never used. One cache line. */
struct backend {
	struct address address;
	__be16 port;
	__u8 variant;    /* index in its service */
	__u8 hop_active; /* which of @hop is in force: the other is written, then this flips */
	__u16 service;
	__u16 mtu;      /* of the link to it; 0: not known, and nothing is too big */
	__u32 endpoint; /* lowest id of a backend with the same address, port and protocol: owner of its source ports */
	__u16 source;   /* id of this host's own address towards it, for NAT without configured sources; 0: none */
	__u16 reset_below; /* of connections that are not where their slot points: those whose hash is below are reset
			    */
	struct next_hop hop[2];
};
_Static_assert(sizeof(struct backend) == 64, "ABI");

/* Who an id is, for the daemon that adopts it; no program reads this. */
#define NAME_SIZE 64
struct backend_identity {
	char service[NAME_SIZE];
	char variant[NAME_SIZE];
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 used;
	__u32 zero;
};
_Static_assert(sizeof(struct backend_identity) == 152, "ABI");

/* Who answers: the source of a packet from a backend. Key is struct service_key with the backend's address and port. */
struct reply_origin {
	__u32 backend; /* the endpoint's id */
	__u32 mode;    /* enum forward_mode */
};

struct flow_key {
	struct address client;
	__be16 port;
	__u16 service;
};
_Static_assert(sizeof(struct flow_key) == 20, "ABI");

enum flow_flags {
	FLOW_CLIENT_FIN = 1 << 0,
	FLOW_SERVER_FIN = 1 << 1,
	FLOW_RESET = 1 << 2,       /* by either side */
	FLOW_REPLIED = 1 << 3,     /* the backend has answered (TCP: with SYN-ACK) */
	FLOW_ESTABLISHED = 1 << 4, /* the client has acknowledged that */
	FLOW_REQUESTED = 1 << 5,   /* the client has sent data */
	FLOW_DRAINED = 1 << 6,     /* reset by Headgate: whoever still speaks is told */
	FLOW_ENDED = 1 << 7,       /* its end has been counted */
	FLOW_TOLD = 1 << 8,        /* drained, and the daemon has sent the backend a RST */
};

#define FLOW_ENDS (FLOW_CLIENT_FIN | FLOW_SERVER_FIN | FLOW_RESET)

/*
 * QUIC connection ids that carry a server id in the clear, in the octets after the first
 * (draft-ietf-quic-load-balancers, plaintext) -> backend id.
 */
struct server_id_key {
	__u32 service;
	__u8 server_id[SERVER_ID_MAX]; /* the first server_id_bytes; the rest is zero */
};
_Static_assert(sizeof(struct server_id_key) == 12, "ABI");

/* Fragments of one packet: RFC 791, RFC 8200 4.5. */
struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;     /* IPv4's 16 bits are in the low half, as they stand */
	__u8 protocol; /* IPv4 only; 0 for IPv6 */
	__u8 zero[3];
};
_Static_assert(sizeof(struct fragment_key) == 40, "ABI");

/* What became of a first fragment, for those that follow it. */
struct fragment {
	struct address client; /* where a reply's fragments go, or whose source a request's are given (NAT) */
	__u32 backend;
	__u32 seen; /* tick of the first fragment */
	__u16 service;
	__u8 reply;
	__u8 zero;
	__u32 hash; /* the flow's, for the outer header */
};
_Static_assert(sizeof(struct fragment) == 32, "ABI");

/* A fragment that came before its first one, handed to the daemon, which has it come in again a little later, with a
 * source MAC that says so. */
#define EARLY_FRAGMENT_BYTES 2048U
#define EARLY_FRAGMENT_MAC                                                                                             \
	{                                                                                                              \
		0x02, 0x68, 0x67, 0, 0, 0x02                                                                           \
	}
struct early_fragment {
	__u32 ifindex;
	__u32 length; /* of @frame */
	__u8 frame[EARLY_FRAGMENT_BYTES];
};
_Static_assert(sizeof(struct early_fragment) == 2056, "ABI");

/*
 * What is remembered of a connection's two directions. Bytes are of IP packets as they came, like struct
 * backend_counters'; all else is of TCP. Sequence numbers are in host byte order.
 */
struct client_progress {
	__u64 bytes;
	__u32 next;        /* one past the highest sequence number sent */
	__u32 request_ack; /* what the last request's first segment acknowledged */
};
_Static_assert(sizeof(struct client_progress) == 16, "ABI");

struct server_progress {
	__u64 opened_ns;  /* of the first SYN, CLOCK_MONOTONIC */
	__u64 request_ns; /* when the request began that has no answer yet; 0: none */
	__u64 bytes;
};
_Static_assert(sizeof(struct server_progress) == 24, "ABI");

/* Time in flows is in ticks of 2^30 ns of CLOCK_MONOTONIC, about a second. */
#define TICK_SHIFT 30

/* A connection's forward direction. */
struct flow {
	__u32 backend;
	__u32 seen;   /* tick of the last packet from the client */
	__u32 opened; /* tick of the first */
	__u16 source; /* NAT: id of the rewritten source address; 0 in other modes */
	__be16 source_port;
	__u32 flags;   /* enum flow_flags; set by atomic or, as both directions do */
	__u32 drained; /* with FLOW_DRAINED: the tick of that */
	struct client_progress client;
};
_Static_assert(sizeof(struct flow) == 40, "ABI");

/* A source port in use towards one endpoint. */
struct source_port_key {
	__u32 endpoint;
	__u32 source_fold; /* address_fold() of the source address */
	__be16 port;
	__be16 zero;
};
_Static_assert(sizeof(struct source_port_key) == 12, "ABI");

/* NAT's reverse direction, and what keeps ports unique. Its key is in it: its backend's endpoint, its source, its port.
 */
struct source_port {
	struct flow_key flow;
	__u32 backend;
	__u32 seen;        /* tick of the last packet from the backend (or of the allocation) */
	__u32 server_next; /* one past the highest sequence number it sent; valid with FLOW_REPLIED */
	__u32 flags;       /* enum flow_flags; set by atomic or */
	__u16 source;      /* id of the source address */
	__be16 port;
	struct server_progress server;
};
_Static_assert(sizeof(struct source_port) == 64, "ABI");

/* A connection that is measured in a mode that keeps no state of its own. */
struct sampled_flow {
	struct server_progress server;
	struct client_progress client;
	__u32 backend;
	__u32 seen;
	__u32 flags;       /* enum flow_flags; set by atomic or */
	__u32 server_next; /* as in struct source_port */
};
_Static_assert(sizeof(struct sampled_flow) == 56, "ABI");

/*
 * Flow tables: arrays of buckets, each of entries and, in the place of two more, their tags of the same numbers
 * (bucket.h): so any number below BUCKET_PLACES is within a bucket. A tag of 0 is a free entry's; TAG_WRITTEN without
 * TAG_USED says that it is being written.
 */
#define BUCKET_ENTRIES 30U
#define BUCKET_PLACES 32U
#define BUCKET_NONE 0xffU
#define BUCKET_EVICTED 0x100U
#define TAG_USED 0x80000000U    /* the entry may be read */
#define TAG_KEPT 0x40000000U    /* and only the daemon takes it out; without, it makes room for a newer one */
#define TAG_WRITTEN 0x40000000U /* instead of TAG_USED */
#define TAG_PRINT 0x3fff0000U   /* of its key's hash */
#define TAG_MOMENT 0x0000ffffU  /* when it was taken, or, while it is not kept, last seen */
#define MOMENT_SHIFT 22         /* moments are of 2^22 ns, about as fine as the coarse clock */

struct bucket_tags {
	__u32 tag[BUCKET_PLACES];
};
_Static_assert(sizeof(struct bucket_tags) == 128, "two cache lines");

/* A connection, half-open until TAG_KEPT. One cache line. */
struct flow_entry {
	struct flow_key key;
	__u32 zero;
	struct flow flow;
};
_Static_assert(sizeof(struct flow_entry) == 64, "ABI");

struct flow_bucket {
	union {
		struct flow_entry entry[BUCKET_PLACES];
		struct {
			__u8 entries[1920];
			struct bucket_tags tags;
		};
	};
};
_Static_assert(sizeof(struct flow_bucket) == 2048, "half a page");

struct port_bucket {
	union {
		struct source_port entry[BUCKET_PLACES];
		struct {
			__u8 entries[1920];
			struct bucket_tags tags;
		};
	};
};
_Static_assert(sizeof(struct port_bucket) == 2048, "half a page");

struct sampled_entry {
	struct flow_key key;
	__u32 zero;
	struct sampled_flow flow;
};
_Static_assert(sizeof(struct sampled_entry) == 80, "ABI");

struct sampled_bucket {
	union {
		struct sampled_entry entry[BUCKET_PLACES];
		struct {
			__u8 entries[2432];
			struct bucket_tags tags;
		};
	};
};
_Static_assert(sizeof(struct sampled_bucket) == 2560, "whole cache lines");

/* How the flow tables are laid out; written once, before anything is in them. */
struct flow_layout {
	__u64 secret; /* of the flows' hash, so that nobody chooses connections that all fall into one bucket */
	__u32 flow_buckets;
	__u32 port_buckets;
	__u32 sampled_buckets;
	__u32 half_open; /* the limits that they were made for */
	__u32 established;
	__u32 zero;
};
_Static_assert(sizeof(struct flow_layout) == 32, "ABI");

struct next_hop_key {
	__u32 prefix_bits; /* of the (mapped) address */
	struct address address;
};
_Static_assert(sizeof(struct next_hop_key) == 20, "ABI");

enum next_hop_kind {
	NEXT_HOP_UNRESOLVED, /* on a link of ours, its MAC not known: asked for in the wanted map */
	NEXT_HOP_REACHABLE,
	NEXT_HOP_LOCAL, /* an address of this host */
};

struct next_hop_entry {
	struct next_hop hop;
	__u16 kind; /* enum next_hop_kind */
	__u16 mtu;  /* of the link; 0: not known */
};
_Static_assert(sizeof(struct next_hop_entry) == 20, "ABI");

/* A neighbour that a reply could not reach: the daemon has the kernel look for it. The value is the tick of the drop.
 */
struct wanted_neighbour {
	struct address address;
	__u32 ifindex;
};
_Static_assert(sizeof(struct wanted_neighbour) == 20, "ABI");

/* Why a packet for a service was not forwarded. The order is ABI; names are in user/names.c. */
enum drop_reason {
	DROP_MALFORMED,       /* lengths in its headers contradict each other or the frame */
	DROP_TTL,             /* TTL or hop limit used up */
	DROP_NO_BACKEND,      /* its slot names no backend */
	DROP_NO_NEXT_HOP,     /* the neighbour's MAC is not known */
	DROP_NO_FLOW,         /* NAT: in mid-connection, and no such connection is known */
	DROP_NO_SOURCE,       /* NAT: no source address is known to rewrite to */
	DROP_PORTS_EXHAUSTED, /* NAT: no free source port towards the backend */
	DROP_FLOW_TABLE_FULL, /* NAT: no room for one more flow */
	DROP_TOO_BIG,         /* larger than the link to where it goes takes; its sender is told, at a bounded rate */
	DROP_LONE_FRAGMENT,   /* the first fragment of its packet did not come in time */
	DROP_REASONS
};

/* Per CPU, by service id. */
struct service_counters {
	__u64 flow_lookups;   /* stateless modes: packets that read flow state, as their slot is tracked */
	__u64 flow_misses;    /* of those: connections older than the change, sent to base */
	__u64 flow_overflows; /* new flows of tracked slots that found no room */
	__u64 drops[DROP_REASONS];
	__u64 echo_answers;    /* echo requests answered here; counted at the lowest service id of the address */
	__u64 too_big_answers; /* "fragmentation needed" and "packet too big" sent from here */
	__u64 zero;
};
_Static_assert(sizeof(struct service_counters) == 128, "ABI");

/* Per CPU, by backend id. Bytes are of the IP packet as it came, headers included, link layer excluded. */
struct backend_counters {
	__u64 client_packets; /* from clients to the backend */
	__u64 client_bytes;
	__u64 server_packets; /* from the backend to clients */
	__u64 server_bytes;
	__u64 opened; /* connections: SYNs of new flows (NAT, tracked slots), SYNs (settled slots; repeated ones but of
			 sampled connections); UDP: new flows where there is state */
	__u64 zero[3];
};
_Static_assert(sizeof(struct backend_counters) == 64, "ABI");

/*
 * Times are counted in log-linear histograms: bucket 0 holds what is below 2^13 ns (8.2 us), then come 27 powers of two
 * of 4 equal buckets each, up to 2^40 ns (1 100 s), and the last one holds what is above. The middle of a bucket is at
 * most 12.5 % away from any time in it.
 */
#define HISTOGRAM_FIRST_POWER 13U
#define HISTOGRAM_LAST_POWER 40U
#define HISTOGRAM_BUCKETS (4U * (HISTOGRAM_LAST_POWER - HISTOGRAM_FIRST_POWER) + 2U)

struct histogram {
	__u64 sum_ns;
	__u64 count;
	__u64 bucket[HISTOGRAM_BUCKETS];
};
_Static_assert(sizeof(struct histogram) == 896, "ABI");

/* HTTP/1 status classes: [1] is 1xx, .. [5] is 5xx; [0]: a response that does not begin with an HTTP/1 status line. */
#define STATUS_CLASSES 6

/*
 * Per CPU, by backend id: what was seen of measured TCP connections (all in nat; elsewhere a hash sample). A connection
 * is counted once in established or refused (or by the daemon, which alone sees silence, in failed), and once in
 * closed, reset_by_client or reset_by_server.
 */
struct measurements {
	__u64 measured;    /* connections that the figures below are of */
	__u64 established; /* the client has acknowledged the SYN-ACK */
	__u64 refused;     /* a RST answered the SYN */
	__u64 closed;      /* both sides have sent FIN */
	__u64 reset_by_client;
	__u64 reset_by_server;
	__u64 reset_by_drain;         /* by Headgate itself */
	__u64 requests;               /* client data after server data */
	__u64 responses;              /* first server data after a request */
	__u64 status[STATUS_CLASSES]; /* of responses */
	__u64 client_retransmissions; /* data segments that hold nothing new */
	__u64 server_retransmissions;
	__u64 unmeasured;           /* connections that were to be measured, and found no room in the table */
	__u64 given_up;             /* no SYN-ACK had come when another one began with the same ports: failed as well */
	struct histogram handshake; /* from the first SYN to the SYN-ACK */
	struct histogram first_byte; /* from a request's first segment to its response's */
	struct histogram duration;   /* from the first SYN to the end */
};
_Static_assert(sizeof(struct measurements) == 2840, "ABI");

/* By backend id, written by the daemon alone: what only silence tells. Here so that it outlives the daemon. */
struct silent_counters {
	__u64 failed;  /* no SYN-ACK came */
	__u64 expired; /* established, and forgotten after silence without an end */
};
_Static_assert(sizeof(struct silent_counters) == 16, "ABI");

/* A variant by its names, each filled up with zeros. */
struct variant_key {
	char service[NAME_SIZE];
	char variant[NAME_SIZE];
};
_Static_assert(sizeof(struct variant_key) == 128, "ABI");

/* What removed backends of a variant had counted; read and written by the daemon alone. */
struct remembered_counts {
	struct backend_counters traffic;
	struct measurements sampled;
	struct silent_counters silent;
	__u32 moving; /* id whose counts are in here already, and maybe still where they were; 0: none */
	__u32 zero;
};
_Static_assert(sizeof(struct remembered_counts) == 2928, "ABI");

#include "shadow_abi.h"

#endif
