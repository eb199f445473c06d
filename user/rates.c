// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rates.h"

#include <errno.h>
#include <string.h>

#include "backends.h"

#define SAMPLES 11U /* ten seconds apart, one a second */

struct rates {
	uint32_t count;
	uint32_t samples; /* taken so far */
	uint64_t at_ns[SAMPLES];
	uint64_t *opened[SAMPLES]; /* by backend id, in a ring */
	uint64_t *first;
};

int rates_create(uint32_t backends, struct rates **ret)
{
	struct rates *r = calloc(1, sizeof(*r));
	bool complete = r;

	if (!r)
		return -ENOMEM;
	r->count = backends;
	r->first = calloc(backends, sizeof(*r->first));
	complete = r->first;
	for (uint32_t i = 0; i < SAMPLES; i++) {
		r->opened[i] = calloc(backends, sizeof(**r->opened));
		complete = complete && r->opened[i];
	}
	if (!complete) {
		rates_destroy(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void rates_destroy(struct rates *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < SAMPLES; i++)
		free(r->opened[i]);
	free(r->first);
	free(r);
}

void rates_sample(struct rates *r, struct splitter *sp, uint64_t now_ns)
{
	_cleanup_free_ struct backend_counters *counters = NULL;
	struct id_list used = backends_used(sp);
	uint32_t slot = r->samples % SAMPLES;

	if (datapath_all_backend_counters(sp->datapath, backends_end(sp), &counters))
		return;
	memset(r->opened[slot], 0, r->count * sizeof(**r->opened));
	for (uint32_t i = 0; i < used.count; i++) {
		uint64_t opened = counters[used.id[i]].opened;

		/* An id that is another's now counts from there. */
		if (!r->samples || opened < r->first[used.id[i]])
			r->first[used.id[i]] = opened;
		r->opened[slot][used.id[i]] = opened;
	}
	r->at_ns[slot] = now_ns;
	r->samples++;
}

double rates_of(const struct rates *r, uint32_t id)
{
	uint32_t newest = (r->samples - 1) % SAMPLES;
	uint32_t oldest = r->samples > SAMPLES ? r->samples % SAMPLES : 0;
	uint64_t passed_ns;

	if (r->samples < 2)
		return 0;
	passed_ns = r->at_ns[newest] - r->at_ns[oldest];
	if (!passed_ns || r->opened[newest][id] < r->opened[oldest][id])
		return 0;
	return (r->opened[newest][id] - r->opened[oldest][id]) * 1e9 / passed_ns;
}

uint64_t rates_since_start(const struct rates *r, uint32_t id)
{
	return r->samples ? r->opened[(r->samples - 1) % SAMPLES][id] - r->first[id] : 0;
}
