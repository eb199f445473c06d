// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "measure.h"

#include <errno.h>
#include <netinet/in.h>

#include "histogram.h"

#define QUARTERS 4U
#define LAST_BUCKET (HISTOGRAM_BUCKETS - 1)
#define QUANTILE_STEPS 1000000U

/* Both are structs of counters and nothing else. */
static void add_counters(__u64 *sum, const __u64 *one, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*sum); i++)
		sum[i] += one[i];
}

void measured_add_traffic(struct measured *sum, const struct backend_counters *traffic,
			  const struct silent_counters *silent, uint64_t active)
{
	add_counters((__u64 *)&sum->traffic, (const __u64 *)traffic, sizeof(sum->traffic));
	add_counters((__u64 *)&sum->silent, (const __u64 *)silent, sizeof(sum->silent));
	sum->active += active;
}

void measured_add_sampled(struct measured *sum, const struct measurements *sampled)
{
	add_counters((__u64 *)&sum->sampled, (const __u64 *)sampled, sizeof(sum->sampled));
}

void measured_add(struct measured *sum, const struct measured *one)
{
	measured_add_traffic(sum, &one->traffic, &one->silent, one->active);
	measured_add_sampled(sum, &one->sampled);
}

struct available available_for(enum forward_mode mode, uint8_t protocol)
{
	bool tcp = protocol == IPPROTO_TCP, replies = forward_sees_replies(mode);

	return (struct available){
		.replies = replies,
		.opened = mode == FORWARD_NAT || tcp,
		.connections = tcp && replies,
		.requests = tcp && replies,
		.active = mode == FORWARD_NAT || (tcp && replies), /* elsewhere only the sample has state */
	};
}

uint32_t histogram_bucket(uint64_t ns)
{
	return histogram_bucket_of(ns);
}

uint64_t histogram_lower_ns(uint32_t bucket)
{
	uint32_t power, quarter;

	if (bucket == 0)
		return 0;
	power = HISTOGRAM_FIRST_POWER + (bucket - 1) / QUARTERS;
	quarter = (bucket - 1) % QUARTERS;
	return (uint64_t)(QUARTERS + quarter) << (power - HISTOGRAM_QUARTER_BITS);
}

uint64_t histogram_upper_ns(uint32_t bucket)
{
	return bucket < LAST_BUCKET ? histogram_lower_ns(bucket + 1) : UINT64_MAX;
}

/* The last bucket has no middle: its lower bound is all that is known. */
static uint64_t middle_ns(uint32_t bucket)
{
	uint64_t lower_ns = histogram_lower_ns(bucket);

	return bucket < LAST_BUCKET ? lower_ns + (histogram_upper_ns(bucket) - lower_ns) / 2 : lower_ns;
}

int histogram_quantile(const struct histogram *h, double q, uint64_t *ret_ns)
{
	/* In millionths, as 0.07 is a little more than 7 % and must not ask for the eighth of 100 samples. */
	uint64_t steps = q <= 0 ? 0 : q >= 1 ? QUANTILE_STEPS : (uint64_t)(q * QUANTILE_STEPS + 0.5);
	uint64_t total = 0, below = 0, rank;
	uint32_t bucket = 0;

	/* Not h->count: the programs count on while the histogram is read, and it may be ahead of the buckets. */
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += h->bucket[i];
	if (!total)
		return -ENODATA;
	rank = ((unsigned __int128)total * steps + QUANTILE_STEPS - 1) / QUANTILE_STEPS;
	if (!rank)
		rank = 1;
	while (below + h->bucket[bucket] < rank)
		below += h->bucket[bucket++];
	*ret_ns = middle_ns(bucket);
	return 0;
}

uint64_t histogram_count_below(const struct histogram *h, uint64_t bound_ns)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && histogram_upper_ns(i) <= bound_ns; i++)
		count += h->bucket[i];
	return count;
}

int measured_error_rate(const struct measured *m, double *ret_rate)
{
	uint64_t failed = m->silent.failed + m->sampled.refused;
	uint64_t wrong = failed + m->sampled.reset_by_server + m->sampled.status[5];
	uint64_t all = failed + m->sampled.established + m->sampled.responses;

	if (!all)
		return -ENODATA;
	*ret_rate = wrong < all ? (double)wrong / all : 1;
	return 0;
}
