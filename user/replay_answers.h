/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_ANSWERS_H
#define HEADGATE_REPLAY_ANSWERS_H

/*
 * What a shadow answers on one connection: where each response begins and ends, its status class, its length, and how
 * long it took. Pure.
 *
 * A shadow may be behind production, and then has several requests before it: when one response ends and the next
 * begins is told by HTTP/1's own framing (RFC 9112, 6.3). What is not HTTP/1 begins a response with the first bytes
 * after a request, as the programs have it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"

#define REPLAY_REQUESTS 32U /* that may be unanswered and still be measured */
#define REPLAY_LINE_BYTES 128U

enum reading {
	AT_START, /* of a message */
	IN_HEADERS,
	IN_BODY,
	AT_CHUNK,
	IN_CHUNK,
	BEHIND_CHUNK,
	IN_TRAILERS,
	TO_THE_END, /* of the connection the body lasts */
	NOT_HTTP,
};

/* All zero to begin. */
struct replay_answers {
	uint32_t requests; /* that have been written */
	uint64_t request_ns[REPLAY_REQUESTS];
	uint32_t heads;          /* bit: the request's method was HEAD, whose response has no body */
	struct shadow_side side; /* as if the first byte had sequence number 0 */
	enum reading reading;
	uint64_t left;     /* bytes of the body or chunk */
	uint64_t begun_ns; /* the message's first byte */
	uint32_t begun;
	uint16_t status;
	bool chunked, sized;
	uint32_t line_bytes;
	char line[REPLAY_LINE_BYTES]; /* as far as it fits */
};

/* A request's first @bytes have been written. */
void replay_answers_request(struct replay_answers *a, const void *data, size_t bytes, uint64_t now_ns);

/* The shadow has sent @data. Counts what it tells. */
void replay_answers_take(struct replay_answers *a, const void *data, size_t bytes, uint64_t now_ns,
			 struct shadow_counters *c);

/* The shadow will send nothing more: what it has begun is whole. */
void replay_answers_end(struct replay_answers *a, struct shadow_counters *c);

/* Every request has been answered, and no response goes on, as far as the protocol is known. */
bool replay_answers_are_whole(const struct replay_answers *a);

/* Every request has been answered, and nothing tells that one of the responses goes on. */
bool replay_answers_may_be_whole(const struct replay_answers *a);

/**
 * replay_answers_compare - count pairs of responses that both sides have finished
 * @flow: the connection's, as production has filled it in
 * @compared: pairs so far
 *
 * Return: true when the shadow has finished responses that production, as far as it is seen, has not.
 */
bool replay_answers_compare(const struct replay_answers *a, const struct shadow_flow *flow, uint32_t *compared,
			    struct shadow_counters *c);

#endif
