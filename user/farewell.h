/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FAREWELL_H
#define HEADGATE_FAREWELL_H

/*
 * Connections that a drain by reset has come to and that say nothing: the programs meet who speaks, and both ends of
 * the others, and the backends of all, are told by the daemon. It makes up what the client would send next, has the
 * programs decide it, and sends what comes of it.
 *
 * - The client is told by its own acknowledgement, which the programs answer with a RST. That needs to know what the
 *   backend sent last. Where nobody does (no replies are seen, or the connection is not measured) the client gets an
 *   acknowledgement that is in no window, and answers with one of its own (RFC 9293, 3.10.7.4), by which it is met.
 * - The backend is told by a RST of the client's, which the programs send on. Should it expect another sequence number,
 *   it asks back (RFC 5961, 3.2), and is answered: in nat by the programs, elsewhere by the client, which has no such
 *   connection any more.
 */
#include <stdint.h>

#include "splitter.h"

struct farewell;

int farewell_create(struct farewell **ret); /* 0 or -ENOMEM */
void farewell_destroy(struct farewell *f);  /* accepts NULL */

/* A pass over the flow tables begins. */
void farewell_begin(struct farewell *f, uint32_t now_tick);

/* A step of it, in which but so many are told. */
void farewell_step(struct farewell *f);

/**
 * farewell_flow - a TCP connection that is not where its slot points
 * @hash: the client's
 *
 * Tells its ends if they are to be told now. What could not be sent is left for the next pass.
 */
void farewell_flow(struct farewell *f, struct splitter *sp, const struct flow_key *key, const struct flow *flow,
		   uint64_t hash);

/* The same for one that is known by being measured. */
void farewell_sampled(struct farewell *f, struct splitter *sp, const struct flow_key *key,
		      const struct sampled_flow *flow, uint64_t hash);

#endif
