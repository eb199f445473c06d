/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SHADOW_COMPARE_H
#define HEADGATE_SHADOW_COMPARE_H

/*
 * What a shadow answers, beside what production answers on the same connection. Responses are numbered on either side,
 * and those with the same number are a pair, counted when both are whole: when the next one has begun, or when their
 * sender is done. Shared by the programs and the daemon. Needs abi.h, nothing else.
 *
 * All but comparison_add() and comparison_count() is called while the flow's lock is held, and so calls nothing.
 *
 * A response begins with a segment that begins with an HTTP/1 status line. In other protocols it begins with the first
 * data after a request; a shadow that is behind by more than one request then seems to begin a response with every
 * segment. A status line within a segment is looked for where the next response is due: a server may write one there
 * while it is behind. Of two in one segment only one is seen.
 */
#include "abi.h"
#include "histogram.h"
#include "sequence.h"

#define COMPARE_INLINE static inline __attribute__((always_inline))

struct compared_pair {
	_Bool known;
	__u8 production; /* status classes */
	__u8 shadow;
	__u32 production_bytes;
	__u32 shadow_bytes;
};

/* What a segment has brought, to be counted when the flow's lock is free. All zero: nothing. */
struct comparison {
	_Bool request;    /* one has begun */
	_Bool response;   /* the shadow has begun one, */
	__u8 class;       /* whose status class this is */
	_Bool first_byte; /* a response has begun, of the shadow or of */
	_Bool production;
	__u32 bytes; /* new payload of the shadow */
	__u32 unanswered;
	__u64 first_byte_ns; /* after the request began */
	struct compared_pair pair[2];
};

/* A segment of a server's. */
struct compared_segment {
	__u32 sequence; /* of its first byte of payload (SYN-ACK: of the first to come), host byte order */
	__u32 bytes;    /* of payload */
	__u32 class;    /* of a status line; 0: none */
	__u32 line;     /* where that begins, in bytes from the payload's first */
	_Bool fin;
	__u64 now_ns;
};

/**
 * compare_request - a client's segment with payload, before flow->client_next is moved on
 * @acknowledged: of the server's, as the client sent it
 * @next: one past the segment's last sequence number
 *
 * A request is client data after server data: it acknowledges something else than the one before it did.
 */
COMPARE_INLINE void compare_request(struct shadow_flow *flow, __u32 acknowledged, __u32 next, __u64 now_ns,
				    struct comparison *ret)
{
	if (flow->flags & SHADOW_FLOW_DEGRADED || !sequence_after(next, flow->client_next))
		return;
	if (flow->requests && acknowledged == flow->request_ack)
		return;
	flow->request_ack = acknowledged;
	flow->request_ns[flow->requests & (SHADOW_RESPONSES - 1)] = now_ns;
	flow->requests++;
	ret->request = 1;
}

/* How many responses of a side are whole. */
COMPARE_INLINE __u32 compare_finished(const struct shadow_side *side)
{
	return side->begun && !(side->flags & SHADOW_SIDE_DONE) ? side->begun - 1 : side->begun;
}

/*
 * The next pair, if both sides have finished it. Of pairs in a row the slower side finishes one at a time, so that
 * there is never more than one. What the faster side has overwritten is passed over.
 */
COMPARE_INLINE void compare_pair(struct shadow_flow *flow, struct compared_pair *ret)
{
	const struct shadow_side *production = &flow->production;
	const struct shadow_side *shadow = &flow->shadow;
	__u32 most = production->begun > shadow->begun ? production->begun : shadow->begun;
	__u32 number = flow->compared;
	__u32 at;

	if (most > SHADOW_RESPONSES && number < most - SHADOW_RESPONSES)
		number = most - SHADOW_RESPONSES;
	flow->compared = number;
	if (number >= compare_finished(production) || number >= compare_finished(shadow))
		return;
	at = number & (SHADOW_RESPONSES - 1);
	ret->known = 1;
	ret->production = production->status[at];
	ret->shadow = shadow->status[at];
	ret->production_bytes = production->length[at];
	ret->shadow_bytes = shadow->length[at];
	flow->compared = number + 1;
}

/* The last response of a side is as long as what came before @end. */
COMPARE_INLINE void compare_finish(struct shadow_side *side, __u32 end)
{
	if (side->begun)
		side->length[(side->begun - 1) & (SHADOW_RESPONSES - 1)] = end - side->start;
}

/*
 * Whether a segment of the shadow's that does not begin with a status line may have one all the same: it is HTTP/1's,
 * and a response is due. The lock may be free.
 */
COMPARE_INLINE _Bool compare_is_due(const struct shadow_flow *flow)
{
	const struct shadow_side *shadow = &flow->shadow;

	return shadow->begun && shadow->answered != flow->requests &&
	       shadow->status[(shadow->begun - 1) & (SHADOW_RESPONSES - 1)] > 1;
}

/* Whether a response begins with this segment. */
COMPARE_INLINE _Bool compare_begins(const struct shadow_flow *flow, const struct shadow_side *side,
				    const struct compared_segment *segment)
{
	__u32 next = segment->sequence + segment->bytes;

	if (!side->begun && side->flags & SHADOW_SIDE_HOLE)
		return !sequence_after(segment->sequence, side->start);
	/* One that fills a hole may be older than what came last, but not than the last beginning. */
	if (segment->class)
		return !side->begun || segment->sequence == side->next ||
		       sequence_after(segment->sequence + segment->line, side->start);
	if (side->answered == flow->requests || sequence_after(segment->sequence, side->next) ||
	    !sequence_after(next, side->next))
		return 0;
	/* What speaks HTTP/1 says where a response begins, unless it has gone on to something else (101). */
	return !side->begun || side->status[(side->begun - 1) & (SHADOW_RESPONSES - 1)] <= 1;
}

COMPARE_INLINE void compare_begin(struct shadow_flow *flow, struct shadow_side *side, _Bool of_shadow,
				  const struct compared_segment *segment, struct comparison *ret)
{
	__u32 request;
	__u64 then_ns;

	compare_finish(side, segment->sequence + segment->line);
	side->start = segment->sequence + segment->line;
	side->status[side->begun & (SHADOW_RESPONSES - 1)] = segment->class;
	side->begun++;
	if (of_shadow) {
		ret->response = 1;
		ret->class = segment->class;
	}
	compare_pair(flow, &ret->pair[0]);
	if (side->answered == flow->requests)
		return;
	/* Clients wait for production, not for the shadow. */
	request = of_shadow ? side->answered : flow->requests - 1;
	side->answered = request + 1;
	if (flow->requests - request > SHADOW_RESPONSES)
		return;
	ret->first_byte = 1;
	ret->production = !of_shadow;
	then_ns = flow->request_ns[request & (SHADOW_RESPONSES - 1)];
	ret->first_byte_ns = segment->now_ns > then_ns ? segment->now_ns - then_ns : 0;
}

/**
 * compare_response - a server's segment: SYN-ACK, data, FIN
 * @of_shadow: whose; a constant
 * @ret: zero, or as compare_request() left it
 */
COMPARE_INLINE void compare_response(struct shadow_flow *flow, _Bool of_shadow, const struct compared_segment *segment,
				     struct comparison *ret)
{
	struct shadow_side *side = of_shadow ? &flow->shadow : &flow->production;
	__u32 next = segment->sequence + segment->bytes;

	if (flow->flags & SHADOW_FLOW_DEGRADED)
		return;
	if (!(side->flags & SHADOW_SIDE_OPEN)) {
		side->flags |= SHADOW_SIDE_OPEN;
		side->next = segment->sequence;
	}
	if (segment->bytes && compare_begins(flow, side, segment))
		compare_begin(flow, side, of_shadow, segment, ret);
	if (!side->begun && !(side->flags & SHADOW_SIDE_HOLE) && sequence_after(segment->sequence, side->next)) {
		side->flags |= SHADOW_SIDE_HOLE;
		side->start = side->next;
	}
	if (sequence_after(next, side->next)) {
		if (of_shadow)
			ret->bytes = next - side->next;
		side->next = next;
	}
	if (!segment->fin || side->flags & SHADOW_SIDE_DONE)
		return;
	compare_finish(side, next);
	side->flags |= SHADOW_SIDE_DONE;
	compare_pair(flow, &ret->pair[1]);
}

/*
 * Requests that production answered and the shadow did not (yet). Where production's replies do not come by here it
 * counts as having answered them all.
 */
COMPARE_INLINE __u32 compare_unanswered(const struct shadow_flow *flow)
{
	__u32 answered = flow->production.flags & SHADOW_SIDE_OPEN ? flow->production.answered : flow->requests;

	return answered > flow->shadow.answered ? answered - flow->shadow.answered : 0;
}

/**
 * compare_end - the shadow's side is over: what it has not answered, it will not
 *
 * Called once for a connection, before it is SHADOW_FLOW_DEGRADED. Nothing is unanswered where the shadow was not let
 * answer, as when the client has reset.
 */
COMPARE_INLINE void compare_end(struct shadow_flow *flow, enum shadow_end end, struct comparison *ret)
{
	const __u32 by_shadow = 1 << SHADOW_LATE | 1 << SHADOW_OVERRUN | 1 << SHADOW_NO_ANSWER | 1 << SHADOW_REFUSED |
				1 << SHADOW_RESET | 1 << SHADOW_LINGERED;
	_Bool ended = end == SHADOW_WHOLE && flow->flags & (SHADOW_FLOW_FIN | SHADOW_FLOW_UDP);

	if (!(flow->flags & SHADOW_FLOW_DEGRADED) && (ended || 1U << (end & 31) & by_shadow))
		ret->unanswered = compare_unanswered(flow);
}

/* The bucket of LENGTH_DIFFERENCES for a pair. */
COMPARE_INLINE __u32 length_difference_of(__u32 production_bytes, __u32 shadow_bytes)
{
	_Bool shorter = shadow_bytes < production_bytes;
	__u32 rest = shorter ? production_bytes - shadow_bytes : shadow_bytes - production_bytes;
	__u32 bits, step;

	if (!rest)
		return 0;
	if (rest >> 31)
		rest = (1U << 31) - 1;
	bits = step = histogram_step(rest, 16);
	rest >>= step;
	bits |= step = histogram_step(rest, 8);
	rest >>= step;
	bits |= step = histogram_step(rest, 4);
	rest >>= step;
	bits |= step = histogram_step(rest, 2);
	rest >>= step;
	bits |= histogram_step(rest, 1);
	return (shorter ? LENGTH_DIFFERENCES / 2 : 0) + 1 + bits;
}

COMPARE_INLINE void compared_pair_add(struct shadow_counters *c, const struct compared_pair *pair)
{
	__u32 cell = pair->production * STATUS_CLASSES + pair->shadow;
	__u32 difference;

	if (!pair->known)
		return;
	c->compared++;
	__asm__("" : "+r"(cell)); /* the verifier must see what is compared in the register that is used */
	if (cell < STATUS_CLASSES * STATUS_CLASSES)
		(&c->matrix[0][0])[cell]++;
	difference = length_difference_of(pair->production_bytes, pair->shadow_bytes);
	__asm__("" : "+r"(difference));
	if (difference < LENGTH_DIFFERENCES)
		c->difference[difference]++;
}

/* Counts what a segment has brought. */
COMPARE_INLINE void comparison_add(struct shadow_counters *c, const struct comparison *comparison)
{
	__u32 class = comparison->class;

	c->requests += comparison->request;
	c->response_bytes += comparison->bytes;
	c->unanswered += comparison->unanswered;
	__asm__("" : "+r"(class));
	if (comparison->response && class < STATUS_CLASSES) {
		c->responses++;
		c->status[class]++;
	}
	if (comparison->first_byte && comparison->production)
		histogram_add(&c->production_first_byte, comparison->first_byte_ns);
	else if (comparison->first_byte)
		histogram_add(&c->first_byte, comparison->first_byte_ns);
	compared_pair_add(c, &comparison->pair[0]);
	compared_pair_add(c, &comparison->pair[1]);
}

#endif
