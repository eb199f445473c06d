// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fragments.h"

#include <errno.h>
#include <string.h>

struct held {
	uint64_t due_ns;
	struct early_fragment fragment;
};

struct fragments {
	size_t oldest;
	size_t count;
	struct held held[FRAGMENTS_HELD_MAX]; /* a ring from @oldest on */
};

struct fragments *fragments_create(void)
{
	return calloc(1, sizeof(struct fragments));
}

void fragments_destroy(struct fragments *q)
{
	free(q);
}

int fragments_hold(struct fragments *q, const struct early_fragment *fragment, uint64_t now_ns)
{
	struct held *h = &q->held[(q->oldest + q->count) % FRAGMENTS_HELD_MAX];

	if (fragment->length > sizeof(fragment->frame))
		return -EINVAL;
	if (fragments_full(q))
		return -ENOBUFS;
	h->due_ns = now_ns + FRAGMENTS_HOLD_NS;
	memcpy(&h->fragment, fragment, offsetof(struct early_fragment, frame) + fragment->length);
	q->count++;
	return 0;
}

bool fragments_full(const struct fragments *q)
{
	return q->count == FRAGMENTS_HELD_MAX;
}

struct early_fragment *fragments_due(struct fragments *q, uint64_t now_ns)
{
	struct held *h = &q->held[q->oldest];

	return q->count && h->due_ns <= now_ns ? &h->fragment : NULL;
}

void fragments_release(struct fragments *q)
{
	if (!q->count)
		return;
	q->oldest = (q->oldest + 1) % FRAGMENTS_HELD_MAX;
	q->count--;
}

uint64_t fragments_next_ns(const struct fragments *q)
{
	return q->count ? q->held[q->oldest].due_ns : UINT64_MAX;
}
