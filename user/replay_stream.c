// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "replay_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MALLOC_BYTES 16 /* that an allocation takes beside what was asked for */

struct piece {
	STAILQ_ENTRY(piece) link;
	uint32_t bytes;
	uint32_t acknowledged;
	bool begins; /* a request; known once the piece is ready */
	uint8_t data[];
};

/* Pieces without a hole between them: bytes [begin, end) of the stream. Only the ready run may be empty. */
struct replay_run {
	TAILQ_ENTRY(replay_run) link;
	STAILQ_HEAD(pieces, piece) pieces;
	uint32_t begin;
	uint32_t end;
};

/* What a segment has to place. */
struct span {
	const uint8_t *data;
	uint32_t begin;
	uint32_t end;
	uint32_t acknowledged;
};

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static enum shadow_end allocate(struct replay_stream *s, size_t bytes, void **ret)
{
	bytes += MALLOC_BYTES;
	if (s->used_bytes + bytes > s->limit_bytes)
		return s->holes ? SHADOW_LOST : SHADOW_OVERRUN;
	if (s->budget->used_bytes + bytes > s->budget->limit_bytes)
		return SHADOW_EVICTED;
	*ret = malloc(bytes - MALLOC_BYTES);
	if (!*ret)
		return SHADOW_EVICTED;
	s->used_bytes += bytes;
	s->budget->used_bytes += bytes;
	return 0;
}

static void release(struct replay_stream *s, void *memory, size_t bytes)
{
	s->used_bytes -= bytes + MALLOC_BYTES;
	s->budget->used_bytes -= bytes + MALLOC_BYTES;
	free(memory);
}

static void release_piece(struct replay_stream *s, struct piece *p)
{
	release(s, p, sizeof(*p) + p->bytes);
}

static enum shadow_end add_run(struct replay_stream *s, struct replay_run *behind, uint32_t begin,
			       struct replay_run **ret)
{
	struct replay_run *run;
	enum shadow_end broken = allocate(s, sizeof(*run), (void **)&run);

	if (broken)
		return broken;
	STAILQ_INIT(&run->pieces);
	run->begin = run->end = begin;
	if (behind)
		TAILQ_INSERT_AFTER(&s->runs, behind, run, link);
	else
		TAILQ_INSERT_HEAD(&s->runs, run, link);
	*ret = run;
	return 0;
}

int replay_stream_open(struct replay_stream *s, uint32_t first, size_t limit_bytes, struct replay_budget *budget)
{
	*s = (struct replay_stream){.budget = budget, .limit_bytes = limit_bytes, .next = first};
	TAILQ_INIT(&s->runs);
	return add_run(s, NULL, first, &s->ready) ? -ENOMEM : 0;
}

static void remove_run(struct replay_stream *s, struct replay_run *run)
{
	struct piece *p;

	while ((p = STAILQ_FIRST(&run->pieces))) {
		STAILQ_REMOVE_HEAD(&run->pieces, link);
		release_piece(s, p);
	}
	TAILQ_REMOVE(&s->runs, run, link);
	release(s, run, sizeof(*run));
}

void replay_stream_close(struct replay_stream *s)
{
	if (!s->ready)
		return;
	while (!TAILQ_EMPTY(&s->runs))
		remove_run(s, TAILQ_FIRST(&s->runs));
	s->ready = NULL;
}

/* Pieces from @p on have become ready, in order. */
static void find_requests(struct replay_stream *s, struct piece *p)
{
	for (; p; p = STAILQ_NEXT(p, link)) {
		p->begins = !s->requests || before(s->request_ack, p->acknowledged);
		if (!p->begins)
			continue;
		s->requests++;
		s->request_ack = p->acknowledged;
	}
}

/* The hole between two runs is closed. */
static void join(struct replay_stream *s, struct replay_run *run, struct replay_run *following)
{
	struct piece *first = STAILQ_FIRST(&following->pieces);

	STAILQ_CONCAT(&run->pieces, &following->pieces);
	run->end = following->end;
	remove_run(s, following);
	s->holes--;
	if (run == s->ready)
		find_requests(s, first);
}

/* Places [@begin, @end) of a span, which lies in the hole behind @run. */
static enum shadow_end place(struct replay_stream *s, struct replay_run *run, const struct span *span, uint32_t begin,
			     uint32_t end)
{
	struct replay_run *following = TAILQ_NEXT(run, link);
	uint32_t bytes = end - begin;
	enum shadow_end broken;
	struct piece *p;

	if (begin != run->end && (!following || end != following->begin) && s->holes == REPLAY_HOLES_MAX)
		return SHADOW_LOST;
	broken = allocate(s, sizeof(*p) + bytes, (void **)&p);
	if (broken)
		return broken;
	*p = (struct piece){.bytes = bytes, .acknowledged = span->acknowledged};
	memcpy(p->data, span->data + (begin - span->begin), bytes);
	if (begin != run->end && following && end == following->begin) {
		STAILQ_INSERT_HEAD(&following->pieces, p, link);
		following->begin = begin;
		return 0;
	}
	if (begin != run->end) {
		broken = add_run(s, run, begin, &run);
		if (broken) {
			release_piece(s, p);
			return broken;
		}
		s->holes++;
	}
	STAILQ_INSERT_TAIL(&run->pieces, p, link);
	run->end = end;
	if (run == s->ready)
		find_requests(s, p);
	if (following && run->end == following->begin)
		join(s, run, following);
	return 0;
}

/* Looks for holes from the first run on. A span that continues the last run, as most do, is told at once. */
static enum shadow_end place_all(struct replay_stream *s, const struct span *span)
{
	struct replay_run *run = TAILQ_LAST(&s->runs, replay_runs), *following;
	uint32_t begin = span->begin, hole_end;
	enum shadow_end broken;

	if (before(begin, run->end))
		run = s->ready;
	for (; run; run = following) {
		if (before(begin, run->end))
			begin = run->end;
		if (!before(begin, span->end))
			return 0;
		following = TAILQ_NEXT(run, link);
		if (following && !before(begin, following->begin))
			continue;
		hole_end = following && before(following->begin, span->end) ? following->begin : span->end;
		broken = place(s, run, span, begin, hole_end);
		if (broken)
			return broken;
		begin = hole_end;
		following = run; /* which may have grown, beyond what was placed */
	}
	return 0;
}

/* Every byte that comes in order shows that holes are being filled: the time of the next one begins anew. */
static void note_hole(struct replay_stream *s, uint32_t next_before, uint64_t now_ns)
{
	bool waits = s->ending ? before(s->next, s->end) : s->holes > 0;

	if (!waits)
		s->hole_ns = 0;
	else if (!s->hole_ns || s->next != next_before)
		s->hole_ns = now_ns;
}

enum shadow_end replay_stream_take(struct replay_stream *s, uint32_t sequence, uint32_t acknowledged, const void *data,
				   uint32_t bytes, uint64_t now_ns)
{
	struct span span = {data, sequence, sequence + bytes, acknowledged};
	uint32_t next_before = s->next;
	enum shadow_end broken;

	if (sequence - s->next > REPLAY_WINDOW_BYTES && s->next - sequence > REPLAY_WINDOW_BYTES)
		return 0;
	if (s->ending && before(s->end, span.end))
		span.end = s->end;
	if (!before(span.begin, span.end))
		return 0;
	broken = place_all(s, &span);
	if (broken)
		return broken;
	s->next = s->ready->end;
	note_hole(s, next_before, now_ns);
	return 0;
}

void replay_stream_end(struct replay_stream *s, uint32_t sequence, bool reset, uint64_t now_ns)
{
	if (s->ending)
		return;
	s->ending = true;
	s->reset = reset;
	s->end = before(sequence, s->next) ? s->next : sequence;
	note_hole(s, s->next, now_ns);
}

bool replay_stream_is_lost(const struct replay_stream *s, uint64_t now_ns, uint64_t patience_ns)
{
	return s->hole_ns && now_ns > s->hole_ns && now_ns - s->hole_ns >= patience_ns;
}

size_t replay_stream_peek(const struct replay_stream *s, struct iovec *ret, size_t max, bool *ret_begins)
{
	struct piece *p = STAILQ_FIRST(&s->ready->pieces);
	size_t count = 0, skip = s->written;

	*ret_begins = p && p->begins && !skip;
	for (; p && count < max; p = STAILQ_NEXT(p, link)) {
		if (p->begins && count)
			break;
		ret[count++] = (struct iovec){p->data + skip, p->bytes - skip};
		skip = 0;
	}
	return count;
}

void replay_stream_written(struct replay_stream *s, size_t bytes)
{
	struct piece *p;

	s->ready->begin += bytes;
	s->written += bytes;
	while ((p = STAILQ_FIRST(&s->ready->pieces)) && s->written >= p->bytes) {
		s->written -= p->bytes;
		STAILQ_REMOVE_HEAD(&s->ready->pieces, link);
		release_piece(s, p);
	}
}

bool replay_stream_is_empty(const struct replay_stream *s)
{
	return STAILQ_EMPTY(&s->ready->pieces);
}

bool replay_stream_is_over(const struct replay_stream *s)
{
	return s->ending && !before(s->next, s->end) && replay_stream_is_empty(s);
}
