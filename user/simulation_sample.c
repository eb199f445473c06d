// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is drawn of one metric, and how people say what it does. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulation_parts.h"
#include "text.h"

#define CHANGE_MAX_S (30U * 86400)
#define BURST_MAX 1000

/* --- drawing ------------------------------------------------------------------------------------------------------ */

/* Share of log-normal times up to this. */
static double share_below(double s, double median_s, double spread)
{
	if (spread <= 0)
		return s >= median_s;
	return 0.5 * erfc(-log(s / median_s) / spread / M_SQRT2);
}

/* Bucket by bucket: of those that are left, the share that is in this one. */
static void draw_times(struct draws *d, double median_s, double spread, uint64_t count, struct histogram *ret)
{
	double below = 0;

	ret->count = count;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && count; i++) {
		bool last = i == HISTOGRAM_BUCKETS - 1;
		double upper = last ? 1 : share_below(histogram_upper_ns(i) / 1e9, median_s, spread);
		uint64_t here = count, middle_ns = histogram_lower_ns(i);

		if (!last && upper < 1)
			here = draw_binomial(d, count, (upper - below) / (1 - below));
		if (!last)
			middle_ns += (histogram_upper_ns(i) - middle_ns) / 2;
		ret->bucket[i] = here;
		ret->sum_ns += here * middle_ns;
		count -= here;
		below = upper;
	}
}

void simulation_sample(struct draws *d, const struct metric_plan *m, const struct behaviour *b, uint64_t at_ms,
		       uint64_t connections, struct sample *ret)
{
	double level = at_ms >= b->changes_ms ? b->to : b->from;
	uint64_t burst;

	memset(ret, 0, sizeof(*ret));
	if (!connections) {
		ret->trouble = JUDGED_NO_DATA;
		return;
	}
	switch (m->kind) {
	case METRIC_COUNTS:
		ret->trials = connections;
		burst = b->spread > 1 ? (uint64_t)b->spread : 1;
		ret->events = draw_binomial(d, connections / burst, level) * burst;
		if (connections % burst)
			ret->events += draw_binomial(d, 1, level) * (connections % burst);
		break;
	case METRIC_TIMES:
		draw_times(d, level, b->spread, connections, &ret->histogram);
		break;
	case METRIC_SCORES:
		ret->trials = connections;
		for (uint64_t i = 0; i < connections; i++) {
			double score = level + b->spread * draw_normal(d);

			score = fmin(m->range_high, fmax(m->range_low, score));
			ret->sum += score;
			ret->squares += score * score;
		}
		break;
	case METRIC_VALUE:
		ret->value = level + b->spread * draw_normal(d);
		break;
	}
}

/* --- what people say ---------------------------------------------------------------------------------------------- */

struct behaviour behaviour_default(const struct metric_plan *m)
{
	struct behaviour b = {.changes_ms = UINT64_MAX};
	double usual = 1;

	switch (m->kind) {
	case METRIC_COUNTS:
		usual = m->lower_is_worse ? 0.99 : 0.01;
		break;
	case METRIC_TIMES:
		usual = 0.02;
		b.spread = 0.5;
		break;
	case METRIC_SCORES:
		usual = (m->range_low + m->range_high) / 2;
		b.spread = (m->range_high - m->range_low) / 10;
		break;
	case METRIC_VALUE:
		break;
	}
	if (m->has_min && m->has_max)
		usual = (m->min + m->max) / 2;
	else if (m->has_max && m->kind != METRIC_SCORES)
		usual = m->max > 0 ? m->max / 4 : 2 * m->max;
	else if (m->has_min && m->kind == METRIC_COUNTS)
		usual = (m->min + 3) / 4;
	else if (m->has_min && m->kind != METRIC_SCORES)
		usual = m->min > 0 ? 2 * m->min : m->min / 2;
	else if (m->has_max || m->has_min)
		usual = (m->has_max ? m->max + m->range_low : m->min + m->range_high) / 2;
	b.from = b.to = usual;
	return b;
}

/* A number with "%" behind it, or a unit of time where it is one; *@text is moved behind it. */
static bool take_level(const char **text, const struct metric_plan *m, double *ret)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}};
	char number[32];
	size_t length = strspn(*text, "-0123456789");
	const char *rest = *text;
	double level;
	char *end;

	/* ".." is what comes behind a number, not its end. */
	if (rest[length] == '.' && isdigit((unsigned char)rest[length + 1]))
		length += 1 + strspn(rest + length + 1, "0123456789");
	if (!length || length >= sizeof(number))
		return false;
	memcpy(number, rest, length);
	number[length] = '\0';
	level = strtod(number, &end);
	if (*end || !isfinite(level))
		return false;
	rest += length;
	if (*rest == '%' && m->kind != METRIC_TIMES) {
		level /= 100;
		rest++;
	}
	for (size_t i = 0; m->kind == METRIC_TIMES && i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strncmp(rest, units[i].name, strlen(units[i].name))) {
			level *= units[i].seconds;
			rest += strlen(units[i].name);
			break;
		}
	}
	*text = rest;
	*ret = level;
	return true;
}

static bool take_moment(const char **text, uint64_t *ret_ms)
{
	size_t length = strspn(*text, "0123456789hms");
	char duration[24];
	uint32_t s;

	if (length >= sizeof(duration))
		return false;
	memcpy(duration, *text, length);
	duration[length] = '\0';
	if (text_duration(duration, CHANGE_MAX_S, &s))
		return false;
	*text += length;
	*ret_ms = s * 1000ULL;
	return true;
}

static bool level_is_possible(const struct metric_plan *m, double level)
{
	switch (m->kind) {
	case METRIC_COUNTS:
		return level >= 0 && level <= 1;
	case METRIC_TIMES:
		return level > 0;
	case METRIC_SCORES:
		return level >= m->range_low && level <= m->range_high;
	default:
		return true;
	}
}

/* VALUE[..VALUE@TIME][~SPREAD]; false: it is none, or something is behind it. */
static bool take_behaviour(const char *text, const struct metric_plan *m, struct behaviour *ret)
{
	struct behaviour b = *ret;

	if (!take_level(&text, m, &b.from))
		return false;
	b.to = b.from;
	b.changes_ms = UINT64_MAX;
	if (!strncmp(text, "..", 2)) {
		text += 2;
		if (!take_level(&text, m, &b.to) || *text++ != '@' || !take_moment(&text, &b.changes_ms))
			return false;
	}
	if (*text == '~') {
		const struct metric_plan plain = {.kind = METRIC_VALUE};

		text++;
		if (!take_level(&text, &plain, &b.spread) || b.spread < 0)
			return false;
		if (m->kind == METRIC_COUNTS && (b.spread < 1 || b.spread > BURST_MAX || fmod(b.spread, 1) != 0))
			return false;
	}
	if (*text || !level_is_possible(m, b.from) || !level_is_possible(m, b.to))
		return false;
	*ret = b;
	return true;
}

/* By its name, or by what a quantile is of. */
static int find_metric(const struct analysis_plan *a, const char *name)
{
	for (size_t i = 0; i < a->metric_count; i++)
		if (!strcmp(a->metrics[i].name, name))
			return i;
	for (size_t i = 0; i < a->metric_count; i++) {
		const struct metric_plan *m = &a->metrics[i];
		size_t length = strlen(name);

		if (m->kind == METRIC_TIMES && !strncmp(m->name, name, length) && !strncmp(m->name + length, "-p", 2))
			return i;
	}
	return -1;
}

static int refuse_value(const struct metric_plan *m, const char *text, struct refusal *why)
{
	static const char *const forms[] = {
		[METRIC_COUNTS] = "a share, as 1% or 0.01, 1%..5%@10m, or 1%~5 in bursts of 5",
		[METRIC_TIMES] = "a time, as 20ms, 20ms~0.5 or 20ms..80ms@10m",
		[METRIC_SCORES] = "a mean within its range, as 0.8, 0.8~0.1 or 0.8..0.6@10m",
		[METRIC_VALUE] = "a number, as 0.02, 0.02~0.001 or 0.02..0.05@10m",
	};

	return refuse(why, EINVAL, "\"%s\" is nothing that %s can do: give %s", text, m->name, forms[m->kind]);
}

int behaviour_parse(const char *spec, const struct analysis_plan *a, struct behaviour ret[PLAN_METRICS_MAX],
		    struct refusal *why)
{
	struct behaviour all[PLAN_METRICS_MAX];
	_cleanup_free_ char *copy = strdup(spec);
	char *rest = copy, *one;

	if (!copy)
		return refuse(why, ENOMEM, "out of memory");
	memcpy(all, ret, sizeof(all));
	while ((one = strsep(&rest, ","))) {
		char *value = strchr(one, '=');
		int metric;

		if (!value)
			return refuse(why, EINVAL, "\"%s\" is not METRIC=VALUE, as error-rate=1%%", one);
		*value++ = '\0';
		metric = find_metric(a, one);
		if (metric < 0)
			return refuse(why, EINVAL, "the plan has no metric %s", one);
		if (!take_behaviour(value, &a->metrics[metric], &all[metric]))
			return refuse_value(&a->metrics[metric], value, why);
	}
	memcpy(ret, all, sizeof(all));
	return 0;
}
