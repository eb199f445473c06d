// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics_page.h"

#include "histogram.h"

/* 2^power * (1 + quarters / 4) ns, which is where a bucket of struct histogram ends: counts below it are exact. */
#define BOUND_NS(power, quarters) ((4ULL + (quarters)) << ((power)-HISTOGRAM_QUARTER_BITS))

/* Close to 10, 20, 50, .. from 10 us to 1000 s. */
static const uint64_t bounds_ns[] = {
	BOUND_NS(13, 1), BOUND_NS(14, 1), BOUND_NS(15, 2), BOUND_NS(16, 2), BOUND_NS(17, 2),
	BOUND_NS(19, 0), BOUND_NS(20, 0), BOUND_NS(21, 0), BOUND_NS(22, 1), BOUND_NS(23, 1),
	BOUND_NS(24, 1), BOUND_NS(25, 2), BOUND_NS(26, 2), BOUND_NS(27, 2), BOUND_NS(29, 0),
	BOUND_NS(30, 0), BOUND_NS(31, 0), BOUND_NS(32, 1), BOUND_NS(33, 1), BOUND_NS(34, 1),
	BOUND_NS(35, 2), BOUND_NS(36, 2), BOUND_NS(37, 2), BOUND_NS(39, 0), BOUND_NS(39, 3),
};
#define BOUNDS ARRAY_SIZE(bounds_ns)

struct histogram_family {
	struct family family;
	size_t offset; /* in struct measured */
	uint32_t needs;
};

static const struct histogram_family histogram_families[] = {
	{{"headgate_variant_handshake_seconds", FAMILY_HISTOGRAM, "Time from the first SYN to the SYN-ACK." ESTIMATE},
	 offsetof(struct measured, sampled.handshake),
	 FIGURE_CONNECTIONS},
	{{"headgate_variant_first_byte_seconds", FAMILY_HISTOGRAM,
	  "Time from a request's first segment to its response's." ESTIMATE},
	 offsetof(struct measured, sampled.first_byte),
	 FIGURE_REQUESTS},
	{{"headgate_variant_connection_duration_seconds", FAMILY_HISTOGRAM,
	  "Time from the first SYN of a connection to its end." ESTIMATE},
	 offsetof(struct measured, sampled.duration),
	 FIGURE_CONNECTIONS},
};

/* The count is of the buckets, as h->count may be ahead of them: the programs go on while they are read. */
static void render_histogram(struct exposition *e, const struct histogram *h, const char *subject, uint32_t shift,
			     char labels[BOUNDS][SECONDS_TEXT_SIZE + 8])
{
	uint64_t count = 0;
	uint32_t bucket = 0;

	for (size_t i = 0; i < BOUNDS; i++) {
		while (histogram_upper_ns(bucket) <= bounds_ns[i])
			count += h->bucket[bucket++];
		exposition_integer(e, "_bucket", subject, labels[i], count << shift);
	}
	while (bucket < HISTOGRAM_BUCKETS)
		count += h->bucket[bucket++];
	exposition_integer(e, "_bucket", subject, "le=\"+Inf\"", count << shift);
	exposition_seconds(e, "_sum", subject, NULL, (unsigned __int128)h->sum_ns << shift);
	exposition_integer(e, "_count", subject, NULL, count << shift);
}

static void format_bounds(char labels[BOUNDS][SECONDS_TEXT_SIZE + 8])
{
	char seconds[SECONDS_TEXT_SIZE];

	for (size_t i = 0; i < BOUNDS; i++) {
		seconds_format(bounds_ns[i], seconds);
		snprintf(labels[i], sizeof(labels[i]), "le=\"%s\"", seconds);
	}
}

void metrics_render_histogram(struct exposition *e, const struct histogram *h, const char *labels)
{
	char bounds[BOUNDS][SECONDS_TEXT_SIZE + 8];

	format_bounds(bounds);
	render_histogram(e, h, labels, 0, bounds);
}

void metrics_render_histograms(struct exposition *e, const struct subjects *subjects)
{
	char labels[BOUNDS][SECONDS_TEXT_SIZE + 8];

	format_bounds(labels);
	for (size_t f = 0; f < ARRAY_SIZE(histogram_families); f++) {
		exposition_family(e, &histogram_families[f].family);
		for (size_t i = 0; i < subjects->variant_count; i++) {
			const struct subject *subject = &subjects->variants[i];
			const char *counts = (const void *)&subject->variant->total;

			if (subject->figures & histogram_families[f].needs)
				render_histogram(e, (const void *)(counts + histogram_families[f].offset),
						 subject->labels, subject->shift, labels);
		}
	}
}
