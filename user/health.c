// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL
#define FLAP_WINDOW_NS (600 * NS_PER_S)
#define DAMPING_MAX_NS (300 * NS_PER_S)
#define UNCHECKED_RETRY_NS (30 * NS_PER_S)
#define FLAPS_MAX 12U /* damping is at its most by then, at any interval from 100 ms */

static void count_flap(struct health *h, uint64_t now_ns)
{
	if (!h->changed_ns || now_ns - h->changed_ns > FLAP_WINDOW_NS)
		h->flaps = 0;
	if (h->flaps < FLAPS_MAX)
		h->flaps++;
}

/* Enters a state, with nothing counted yet. */
static void enter(struct health *h, enum health_state state, uint64_t now_ns)
{
	h->state = state;
	h->changed_ns = now_ns;
	h->good = 0;
	h->bad = 0;
	h->passive_bad = 0;
}

static void go_down(struct health *h, const struct health_model *m, uint64_t now_ns)
{
	uint64_t damping_ns;

	count_flap(h, now_ns);
	damping_ns = (m->interval_ms * NS_PER_MS) << h->flaps;
	if (damping_ns > DAMPING_MAX_NS)
		damping_ns = DAMPING_MAX_NS;
	if (m->check == HEALTH_NONE)
		damping_ns = UNCHECKED_RETRY_NS;
	enter(h, HEALTH_DOWN, now_ns);
	h->down_until_ns = now_ns + damping_ns;
}

static bool checked_good(struct health *h, const struct health_model *m, uint64_t now_ns)
{
	h->bad = 0;
	if (h->state == HEALTH_UP)
		return false;
	if (h->good < m->rise)
		h->good++;
	if (h->good < m->rise || (h->state == HEALTH_DOWN && now_ns < h->down_until_ns))
		return false;
	/* What was never out has not come back. */
	if (h->state == HEALTH_DOWN)
		count_flap(h, now_ns);
	enter(h, HEALTH_UP, now_ns);
	return true;
}

static bool checked_bad(struct health *h, const struct health_model *m, uint64_t now_ns)
{
	h->good = 0;
	if (h->state == HEALTH_DOWN)
		return false;
	if (h->bad < m->fall)
		h->bad++;
	if (h->bad < m->fall)
		return false;
	go_down(h, m, now_ns);
	return true;
}

bool health_checked(struct health *h, const struct health_model *m, bool ok, uint64_t now_ns)
{
	return ok ? checked_good(h, m, now_ns) : checked_bad(h, m, now_ns);
}

bool health_observed(struct health *h, const struct health_model *m, uint64_t good, uint64_t bad, uint64_t now_ns)
{
	if (h->state == HEALTH_DOWN) {
		if (m->check != HEALTH_NONE || now_ns < h->down_until_ns)
			return false;
		enter(h, HEALTH_UNKNOWN, now_ns);
		return true;
	}
	if (good || !m->passive) {
		h->passive_bad = 0;
		return false;
	}
	if (bad < m->passive && h->passive_bad + bad < m->passive) {
		h->passive_bad += bad;
		return false;
	}
	go_down(h, m, now_ns);
	return true;
}

bool health_panic(size_t down, size_t count)
{
	return count && down >= count;
}

const char *health_state_name(enum health_state state)
{
	static const char *const names[] = {
		[HEALTH_UNKNOWN] = "unknown",
		[HEALTH_UP] = "up",
		[HEALTH_DOWN] = "down",
	};

	return names[state];
}
