// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_leftover.h"

#include <errno.h>
#include <string.h>

#define BATCH 256U

struct batch {
	struct stash_key keys[BATCH];
	struct stash_segment segments[BATCH];
};

void shadow_leftover_release(struct shadow_leftover *s)
{
	free(s->keys);
	free(s->serials);
	*s = (struct shadow_leftover){};
}

/* Room for @more elements of @size bytes behind @count. 0 or -ENOMEM. */
static int make_room(void **array, size_t count, size_t more, size_t size, size_t *room)
{
	size_t wanted = *room ? *room : 1024;
	void *grown;

	if (count + more <= *room)
		return 0;
	while (wanted < count + more)
		wanted *= 2;
	grown = realloc(*array, wanted * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

static int list_all(struct shadow_leftover *s, struct datapath *dp)
{
	_cleanup_free_ struct batch *batch = malloc(sizeof(*batch));
	struct datapath_cursor cursor = {};
	int result = batch ? 0 : -ENOMEM;

	while (result == 0) {
		uint32_t count = BATCH;

		result = datapath_batch(dp, MAP_STASH, &cursor, batch->keys, batch->segments, &count);
		if (result < 0)
			break;
		if (make_room((void **)&s->keys, s->key_count, count, sizeof(*s->keys), &s->key_room))
			return -ENOMEM;
		memcpy(s->keys + s->key_count, batch->keys, count * sizeof(*s->keys));
		s->key_count += count;
	}
	return result < 0 ? result : 0;
}

void shadow_leftover_list(struct shadow_leftover *s, struct datapath *dp)
{
	struct stash_key first;

	shadow_leftover_release(s);
	if (datapath_next_key(dp, MAP_STASH, NULL, &first) || list_all(s, dp))
		shadow_leftover_release(s);
	else
		s->listed = true;
}

void shadow_leftover_meet(struct shadow_leftover *s, uint32_t serial)
{
	if (!s->listed)
		return;
	if (make_room((void **)&s->serials, s->serial_count, 1, sizeof(*s->serials), &s->serial_room))
		shadow_leftover_release(s);
	else
		s->serials[s->serial_count++] = serial;
}

static int compare_serials(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

void shadow_leftover_clear(struct shadow_leftover *s, struct datapath *dp)
{
	if (!s->listed)
		return;
	if (s->serial_count)
		qsort(s->serials, s->serial_count, sizeof(*s->serials), compare_serials);
	for (size_t i = 0; i < s->key_count; i++)
		if (!s->serial_count ||
		    !bsearch(&s->keys[i].serial, s->serials, s->serial_count, sizeof(*s->serials), compare_serials))
			datapath_delete(dp, MAP_STASH, &s->keys[i]);
	shadow_leftover_release(s);
}
