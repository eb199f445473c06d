/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REPLAY_STREAM_H
#define HEADGATE_REPLAY_STREAM_H

/*
 * What one client sent, put in order by sequence number from segments that come in any order, twice, overlapping, or
 * not at all. What is in order can be written; it is kept until it is. Pure: times and limits are the caller's.
 *
 * All that may stand in a packet may stand in a segment, so work and memory are bounded whatever comes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <linux/types.h>

#include "abi.h"

#define REPLAY_HOLES_MAX 256U          /* with more of them a stream is broken */
#define REPLAY_WINDOW_BYTES (1U << 30) /* TCP's largest: what is farther ahead is not of this stream */

/* Memory that many streams share. */
struct replay_budget {
	size_t used_bytes;
	size_t limit_bytes;
};

struct replay_run;

struct replay_stream {
	struct replay_budget *budget;
	size_t limit_bytes; /* of memory, of this stream alone */
	size_t used_bytes;
	TAILQ_HEAD(replay_runs, replay_run) runs; /* by sequence; none touches another */
	struct replay_run *ready;                 /* the first: from what is to be written next to @next */
	size_t holes;
	size_t written; /* bytes of the first piece */
	uint32_t next;  /* all before it has come */
	uint32_t end;   /* of the stream; valid with @ending */
	bool ending;
	bool reset;           /* it ended by a RST */
	uint64_t hole_ns;     /* since when the first hole is waited for; 0: there is none */
	uint32_t requests;    /* that begin before @next */
	uint32_t request_ack; /* what the last one's first segment acknowledged */
};

/* 0 or -ENOMEM. @first: sequence number of the first byte to come. @budget outlives the stream. */
int replay_stream_open(struct replay_stream *s, uint32_t first, size_t limit_bytes, struct replay_budget *budget);
void replay_stream_close(struct replay_stream *s); /* also one that is all zero */

/**
 * replay_stream_take - a segment with data
 * @sequence, @acknowledged: as in the packet; a request begins with data that acknowledge what data before did not
 *
 * Return: 0, or the enum shadow_end that the stream is broken by, and nothing more can be made of it: SHADOW_LOST (its
 * memory is full of what waits behind a hole, or there are too many of those), SHADOW_OVERRUN (of what waits to be
 * written), SHADOW_EVICTED (the budget is used up).
 */
enum shadow_end replay_stream_take(struct replay_stream *s, uint32_t sequence, uint32_t acknowledged, const void *data,
				   uint32_t bytes, uint64_t now_ns);

/* The client has ended: @sequence is one past its last byte. What was said of it first counts. */
void replay_stream_end(struct replay_stream *s, uint32_t sequence, bool reset, uint64_t now_ns);

/* Whether a hole has been waited for so long: whatever is missing does not come any more. */
bool replay_stream_is_lost(const struct replay_stream *s, uint64_t now_ns, uint64_t patience_ns);

/**
 * replay_stream_peek - what is to be written next
 * @ret_begins: the first byte begins a request; no other does
 * Return: entries of @ret, at most @max; 0: nothing is there.
 */
size_t replay_stream_peek(const struct replay_stream *s, struct iovec *ret, size_t max, bool *ret_begins);

/* So much of it has been. */
void replay_stream_written(struct replay_stream *s, size_t bytes);

bool replay_stream_is_empty(const struct replay_stream *s); /* nothing can be written now */
bool replay_stream_is_over(const struct replay_stream *s);  /* nor ever will be: the client has ended */

#endif
