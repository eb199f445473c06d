/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MEASURE_H
#define HEADGATE_MEASURE_H

/* What was measured, in sums; which figures exist; quantiles. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"
#include "model.h"

/* All that was counted of one backend, or of a variant (the sum over its backends, those that are gone included). */
struct measured {
	struct backend_counters traffic; /* exact always */
	struct measurements sampled;     /* of measured connections; scale by 2^measure_shift for an estimate of all */
	struct silent_counters silent;   /* sampled likewise */
	uint64_t active;                 /* connections now, by the last sweep; already scaled */
};

void measured_add(struct measured *sum, const struct measured *one);

/* The same in two halves, for those who do not read all at once. */
void measured_add_traffic(struct measured *sum, const struct backend_counters *traffic,
			  const struct silent_counters *silent, uint64_t active);
void measured_add_sampled(struct measured *sum, const struct measurements *sampled);

/* Which figures a service can have at all: what does not exist is left out of every output, never shown as 0. */
struct available {
	bool replies;     /* server_packets, server_bytes */
	bool opened;      /* opened connections, and their rate: SYNs, or new entries where all flows have state */
	bool connections; /* established, failed, refused, resets, closed, retransmissions, handshake, duration */
	bool requests;    /* requests, responses, status classes, first byte */
	bool active;
};
struct available available_for(enum forward_mode mode, uint8_t protocol);

/* The bucket of a time, as the programs count it. */
uint32_t histogram_bucket(uint64_t ns);

/* Bounds of a bucket in ns: [lower, upper); the last one's upper bound is UINT64_MAX. */
uint64_t histogram_lower_ns(uint32_t bucket);
uint64_t histogram_upper_ns(uint32_t bucket);

/**
 * histogram_quantile - the time that a share of the samples is not above
 * @q: 0..1
 * @ret_ns: middle of the bucket that holds the quantile: within 12.5 % of the true one, from 8.2 us to 1 100 s
 *
 * Return: 0, or -ENODATA without samples.
 */
int histogram_quantile(const struct histogram *h, double q, uint64_t *ret_ns);

/* Samples in buckets that lie wholly at or below @bound_ns (a bound that is a bucket's upper bound: exactly those
 * below). */
uint64_t histogram_count_below(const struct histogram *h, uint64_t bound_ns);

/**
 * measured_error_rate - how much went wrong
 * @ret_rate: 0..1: failed and refused connections, connections reset by the server, and 5xx responses, over all
 * connections and responses Return: 0, or -ENODATA when there was neither.
 */
int measured_error_rate(const struct measured *m, double *ret_rate);

#endif
