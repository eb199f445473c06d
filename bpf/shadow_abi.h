/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_ABI_H
#define HEADGATE_SHADOW_ABI_H

/*
 * What the programs and headgated say to each other about shadows. Copies of client packets go through the mirror, a
 * veth pair; the programs at its far end keep an ordinary TCP connection to the shadow alive with them. Included by
 * abi.h, whose rules hold here too.
 */

#ifndef __bpf__
#include <linux/bpf.h> /* struct bpf_spin_lock */
#endif

#define SHADOW_BACKENDS_MAX 16U
#define SHADOW_SAMPLE_ALL 10000U /* samples are in 0.01 % */

enum shadow_engine {
	SHADOW_INLINE, /* the programs speak with the shadow */
	SHADOW_REPLAY, /* the daemon does, over connections of its own */
};

/* Who shadows a service, by the service's id. Whether, and how many connections, is in struct service. */
struct shadow {
	__u32 backend[SHADOW_BACKENDS_MAX]; /* ids; a connection goes to one of them by its hash */
	__u32 backend_count;
	__u32 packets_per_second;  /* cap on copies, of each CPU; 0: none */
	__u16 source[SOURCES_MAX]; /* ids of the addresses that the shadow sees */
	__u8 source_count;         /* 0: each backend's own source is used */
	__u8 engine;               /* enum shadow_engine */
	__u8 traffic_class;        /* of copies: DSCP in its upper six bits; as the client's where 0 */
	__u8 zero;
	__u16 port_min; /* of sources, host byte order, both inclusive */
	__u16 port_max;
	__u32 stash; /* segments at most that one connection may have waiting */
	__u32 zeros;
};
_Static_assert(sizeof(struct shadow) == 120, "ABI: a multiple of 8");

/* Whether connections of a source prefix are mirrored, whatever the sample says. Key is struct cohort_key. */
enum shadow_rule {
	SHADOW_NEVER,
	SHADOW_ALWAYS,
};

/*
 * Frames on the mirror say what they are in their destination MAC: this, then enum mirror_kind, then the service's id
 * in network byte order. Behind the MACs stands an IP packet. The source MAC is zero, but for its first byte from the
 * XDP program at the far end to the one behind it: 1 + enum shadow_end of a connection that is to end. Copies that XDP
 * makes are as they leave to their backend, tunnel included; struct mirrored before their first byte (XDP metadata)
 * says more.
 */
#define MIRROR_MAC_FIRST 0x02
#define MIRROR_MAC_SECOND 'h'
#define MIRROR_MAC_THIRD 'g'
enum mirror_kind {
	MIRROR_EARLY_FRAGMENT, /* not on the mirror: fragments that come in again have such MACs too */
	MIRROR_CLIENT,         /* a client's packet, addresses as the client sent them */
	MIRROR_SHADOW,         /* a shadow's, to be thought about */
	MIRROR_KICK,           /* from the daemon: struct mirror_kick behind the Ethernet header */
};

/* What XDP sends by is a map of two devices, the mirror's near end first. */
#define MIRROR_DEVICES 2U
#define MIRROR_WAYS_MAX 64U /* such maps */

/* XDP metadata of a copy: at most 32 bytes, a multiple of 4. */
#define MIRRORED_MAGIC 0x68676d31U
struct mirrored {
	__u32 magic;
	struct flow_key flow; /* the client as it came, which NAT has rewritten */
	__u16 l3;             /* where the client's IP header begins in the frame: behind a tunnel's */
	__u16 zero;
};
_Static_assert(sizeof(struct mirrored) == 28, "XDP metadata");

/* What the daemon has the programs do for one connection. */
enum kick_action {
	KICK_REPAIR, /* send again what the shadow has not acknowledged: SYN, data or FIN */
	KICK_FINISH, /* the client's FIN may go now */
	KICK_ABORT,  /* reset the shadow's side and forget the connection */
};
struct mirror_kick {
	struct flow_key flow;
	__u32 serial; /* the connection's, so that a later one with the same ports is not meant */
	__u32 action; /* enum kick_action */
	__u32 reason; /* KICK_ABORT: enum shadow_end */
};
_Static_assert(sizeof(struct mirror_kick) == 32, "ABI");

/* How the mirroring of a connection ended. The order is ABI; names are in user/names.c. */
enum shadow_end {
	SHADOW_WHOLE,          /* the shadow acknowledged every byte of the client, or both ended before that by RST */
	SHADOW_MID_CONNECTION, /* it had begun before it could be mirrored, or its SYN's copy was lost */
	SHADOW_LATE,           /* data waited for the shadow's SYN-ACK, and there was no more room for it */
	SHADOW_LOST,           /* a segment is missing that is no longer (or never was) in the stash */
	SHADOW_OVERRUN,        /* the shadow's window was closed, and there was no more room for what waited */
	SHADOW_EVICTED,        /* no room for one more connection, or in the stash as a whole */
	SHADOW_OVER_CAP,       /* more packets per second than allowed */
	SHADOW_TOO_BIG,        /* a packet that the link to the shadow does not take, or in pieces */
	SHADOW_UNREACHABLE,    /* no shadow, or its neighbour is not known */
	SHADOW_NO_ANSWER,      /* no SYN-ACK came, or nothing was acknowledged any more */
	SHADOW_REFUSED,        /* a RST answered the SYN */
	SHADOW_RESET,          /* the shadow reset the connection while the client went on */
	SHADOW_LINGERED,       /* the shadow was still answering long after the client had ended */
	SHADOW_STOPPED,        /* mirroring was turned off, or paused */
	SHADOW_ENDS
};

/* Responses of one side of a connection, for the comparison: those that the other side has not given yet wait. */
#define SHADOW_RESPONSES 8U /* a power of two */
enum shadow_side_flags {
	SHADOW_SIDE_OPEN = 1 << 0, /* @next is known */
	SHADOW_SIDE_HOLE = 1 << 1, /* the first response's beginning, at @start, is missing yet */
	SHADOW_SIDE_DONE = 1 << 2, /* it has sent its FIN */
};
struct shadow_side {
	__u32 begun;    /* responses that have begun */
	__u32 next;     /* one past the highest sequence number of it that was seen */
	__u32 start;    /* sequence number of the last response's first byte */
	__u32 answered; /* requests to which a response has begun */
	__u32 flags;    /* enum shadow_side_flags */
	__u32 zero;
	__u32 length[SHADOW_RESPONSES]; /* of the finished ones, by number modulo SHADOW_RESPONSES; in bytes modulo 2^32
					 */
	__u8 status[SHADOW_RESPONSES];  /* class: 1..5; 0: no HTTP/1 status line */
};
_Static_assert(sizeof(struct shadow_side) == 64, "ABI");

enum shadow_flow_flags {
	SHADOW_FLOW_OPEN = 1 << 0,   /* the SYN-ACK has come (UDP: any answer) */
	SHADOW_FLOW_FIN = 1 << 1,    /* the client has ended; @fin is where */
	SHADOW_FLOW_FINISH = 1 << 2, /* and the shadow may know it */
	SHADOW_FLOW_FIN_SENT = 1 << 3,
	SHADOW_FLOW_SERVER_FIN = 1 << 4, /* the shadow has ended */
	SHADOW_FLOW_OVER = 1 << 5,       /* counted in its enum shadow_end; kept until the daemon takes it out */
	SHADOW_FLOW_DEGRADED = 1 << 6,   /* not to be compared: the shadow did not get what production got */
	SHADOW_FLOW_REPLAY = 1 << 7,
	SHADOW_FLOW_RECOVERY = 1 << 8, /* segments up to @recover are being sent again */
	SHADOW_FLOW_UDP = 1 << 9,
	SHADOW_FLOW_ABORTED = 1 << 10, /* the client ended by RST, and so does the shadow's side: at @fin, like a FIN */
};

/*
 * One mirrored connection. Key is struct flow_key: client, port, service. All but the first lines is under @lock.
 * Sequence numbers are in host byte order; the client's are its own, on both sides.
 *
 * With what the kernel has in front of it, 72 bytes, an entry takes six cache lines and begins on one. A copy touches
 * three of them: what is up to @acked shares one with the key's end, and @request_ns has one for itself.
 */
struct shadow_flow {
	struct bpf_spin_lock lock;
	__u32 serial; /* random; names the connection's segments in the stash */
	__u32 backend;
	__u16 source; /* id */
	__be16 source_port;
	__u32 flags;                        /* enum shadow_flow_flags */
	__u32 seen;                         /* tick of the last packet of either side */
	__u32 client_next;                  /* one past the highest of the client's that was seen */
	__u32 requests;                     /* that have begun */
	__u32 request_ack;                  /* what the last one's first segment acknowledged */
	__u32 sent;                         /* the next of the client's sequence numbers to be sent to the shadow */
	__u32 window_end;                   /* one past the last that the shadow takes now */
	__u32 server_next;                  /* one past the highest sequence number of the shadow's */
	__u32 waiting;                      /* segments in the stash */
	__u32 acked;                        /* all before it the shadow has */
	__u64 request_ns[SHADOW_RESPONSES]; /* when each began, by number modulo SHADOW_RESPONSES */
	__u64 progress_ns; /* when the shadow last acknowledged something new, or the client sent something new */
	__u64 opened_ns;
	__u64 fin_ns;      /* when the client's FIN (or RST) came */
	__u64 answered_ns; /* when the shadow last sent data */
	__u32 recover;
	__u32 fin;   /* sequence number of the client's FIN */
	__u32 first; /* and of its first byte */
	__u8 window_shift;
	__u8 duplicates; /* acknowledgements in a row that acknowledged nothing new */
	__u8 zero[2];
	__u32 compared; /* pairs of responses done */
	__u32 freed;    /* all before it has left the stash */
	struct shadow_side production;
	struct shadow_side shadow;
	__u64 zeros; /* up to the line's end */
};
_Static_assert(sizeof(struct shadow_flow) == 312, "ABI");

/* Who answers with a source port of ours: key is struct source_port_key with the shadow's endpoint. */
struct shadow_port {
	struct flow_key flow;
	__u32 serial;
};
_Static_assert(sizeof(struct shadow_port) == 24, "ABI");

/* A part of the client's stream that the shadow has not acknowledged. */
#define STASH_BYTES 1464U /* of payload: what a segment has on a link of 1500 bytes, and more than that is split */
struct stash_key {
	__u32 serial;
	__u32 sequence;
};
struct stash_segment {
	__u32 bytes;
	__u32 push;             /* the segment had PSH */
	__u8 data[STASH_BYTES]; /* zero behind @bytes up to a multiple of 4 */
};
_Static_assert(sizeof(struct stash_segment) == 1472, "ABI");

/* Engine replay: what the daemon is told of each copy; @bytes of payload follow. REPLAY_OPEN comes once, and first;
 * whatever else there is no room for is missing. */
#define REPLAY_BYTES 2048U
enum replay_event {
	REPLAY_OPEN, /* SYN; @sequence is of the first byte to come */
	REPLAY_DATA,
	REPLAY_FIN,   /* @sequence is one past the last byte */
	REPLAY_RESET, /* by the client */
};
struct replay_segment {
	struct flow_key flow;
	__u32 serial;
	__u32 sequence;
	__u32 backend;
	__u16 bytes; /* of @data */
	__u8 event;  /* enum replay_event */
	__u8 zero;
	__u32 acknowledged; /* REPLAY_DATA: of production's, as the client sent it */
	__u64 ns;           /* CLOCK_MONOTONIC */
	__u8 data[REPLAY_BYTES];
};
_Static_assert(sizeof(struct replay_segment) == 2096, "ABI");

/*
 * How much longer (or shorter) the shadow's response was than production's to the same request: [0] equal; [i] for i
 * of 1..31 longer by 2^(i-1) to 2^i - 1 bytes; [32 + i] shorter by as much.
 */
#define LENGTH_DIFFERENCES 64U

/* Per CPU, by service id. */
struct shadow_counters {
	__u64 eligible;           /* connections (UDP: flows) that were to be mirrored */
	__u64 ended[SHADOW_ENDS]; /* by enum shadow_end; the rest is going on */
	__u64 packets;            /* sent to the shadow */
	__u64 bytes;              /* of IP */
	__u64 repaired;           /* segments sent again */
	__u64 clones_lost;        /* copies that could not be made */
	__u64 stray;              /* packets from shadows that were no connection's: dropped */
	__u64 connected;          /* SYN-ACKs */
	__u64 requests;
	__u64 responses;
	__u64 response_bytes; /* payload */
	__u64 status[STATUS_CLASSES];
	__u64 unanswered;                             /* requests without a response when the connection was over */
	__u64 compared;                               /* requests whose responses of both sides were seen whole */
	__u64 matrix[STATUS_CLASSES][STATUS_CLASSES]; /* [production][shadow], of those */
	__u64 difference[LENGTH_DIFFERENCES];
	struct histogram connect;
	struct histogram first_byte;
	struct histogram production_first_byte; /* of the same connections' requests */
};

/* Written by the daemon alone: which packets may come from a shadow, so that most are known not to by two bits. */
struct shadow_guard {
	__u32 mirror; /* ifindex of the near end; 0: no mirror */
	__u32 on;     /* some service has a shadow */
	__u32 native; /* every interface that packets leave by takes frames from XDP programs */
	__u32 zero;
	__u64 macs[4];                  /* bit: last octet of a shadow's MAC */
	__u64 addresses[4];             /* bit: last octet of a shadow's address */
	__u32 way_out[MIRROR_WAYS_MAX]; /* ifindexes by which XDP copies, each where its map is in the map of mirrors;
					   0: none */
};
_Static_assert(sizeof(struct shadow_guard) == 336, "ABI");

/* Who is a shadow, exactly: its address (IPv4 mapped), or its MAC in word[0] and word[1] with word[3] ~0. */
#define SHADOW_HOST_MAC 0xffffffffU

#endif
