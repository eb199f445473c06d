// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health_schedule.h"

#define NS_PER_MS 1000000ULL

/* One step of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t health_next_check_ns(const struct health_model *m, uint64_t last_ns, uint32_t seed)
{
	uint64_t interval_ns = m->interval_ms * NS_PER_MS;
	uint64_t spread_ns = interval_ns / 5;

	return last_ns + interval_ns - spread_ns / 2 + mix(mix(seed) ^ last_ns) % (spread_ns + 1);
}
