/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_SHADOW_TALK_H
#define HEADGATE_TEST_SHADOW_TALK_H

/*
 * One mirrored connection, segment by segment: its client speaks into the mirror, the test is the shadow. Places in
 * either stream are counted from its first byte; what is at each place of the client's is known, so that any segment
 * that comes to the shadow can be judged by itself. All that comes is: addresses, MACs, lengths, checksums, content.
 */
#include "shadow_rig.h"

#define PSH 0x08
#define FIRST 0xfffffc00U        /* the client's first byte; the stream wraps around soon */
#define SHADOW_FIRST 0xfffffff0U /* the shadow's */
#define CLIENT_HAS 7000U         /* what the client acknowledges of production's */

struct talk {
	struct rig *rig;
	__u32 service;
	const char *client; /* NULL: CLIENT4 or CLIENT6 */
	__u16 client_port;
	__u32 client_first; /* sequence number; 0: FIRST */
	__u16 source_port;  /* what the shadow sees; set by its SYN */
	__u32 said;         /* how much the shadow has said: what must be acknowledged */
	__u16 window;       /* that the shadow offers; 0: 60000 */
	bool closed;        /* it offers nothing */
};

/* A segment that has come to the shadow. */
struct heard {
	struct frame frame;
	struct reading reading;
	__u32 at; /* place in the client's stream; SYN: -1 */
	__u32 acknowledged;
	__u16 window;
	__u8 flags;
	__u32 option_bytes;
	__u32 payload_bytes;
	const __u8 *tcp; /* in @frame */
};

/* What the client sends, and what of it the mirror gets. */
struct segment talk_client_segment(const struct talk *t, __u8 flags, __u32 at, __u32 bytes);
void talk_client(struct talk *t, __u8 flags, __u32 at, __u32 bytes);
void talk_client_puts(struct talk *t, const struct segment *s);

/* What the shadow sends: from @at, acknowledging all before @acknowledged. */
struct segment talk_shadow_segment(const struct talk *t, __u8 flags, __u32 at, __u32 bytes, __u32 acknowledged);
void talk_shadow(struct talk *t, __u8 flags, __u32 at, __u32 bytes, __u32 acknowledged);
void talk_shadow_puts(struct talk *t, const struct segment *s);

/* The next thing that comes to the shadow, which must be of this connection; each of the others must be just so. */
void talk_hear(struct talk *t, struct heard *ret);
void talk_hear_syn(struct talk *t);
void talk_hear_data(struct talk *t, __u32 at, __u32 bytes);
void talk_hear_acknowledgement(struct talk *t, __u32 at);
void talk_hear_fin(struct talk *t, __u32 at);
void talk_hear_reset(struct talk *t, __u32 at);
void talk_hear_nothing(struct talk *t);

/* SYN and SYN-ACK, without window scale unless @shift says otherwise; the acknowledgement is heard. */
void talk_open(struct talk *t);
void talk_open_scaled(struct talk *t, __u8 shift);

/* The entry. False, @ret untouched: there is none. */
bool talk_flow(const struct talk *t, struct shadow_flow *ret);

void talk_kick(struct talk *t, __u32 action, __u32 reason);

/* So many connections have been counted, of which one ended, in this way; or none (SHADOW_ENDS). */
void talk_assert_ended(const struct talk *t, __u32 eligible, __u32 end);

#endif
