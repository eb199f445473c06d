// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Why a verdict is what it is, in one sentence. */
#include "judge_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct words {
	char text[32];
};

/* 15301 as "15 301". */
static struct words count_words(uint64_t count)
{
	struct words w = {0}, ret = {0};
	char *first = w.text + sizeof(w.text) - 1;

	for (int digits = 0; count || !digits; count /= 10) {
		if (digits && digits % 3 == 0)
			*--first = ' ';
		*--first = (char)('0' + count % 10);
		digits++;
	}
	memcpy(ret.text, first, strlen(first));
	return ret;
}

static struct words amount_words(const struct metric_plan *m, double amount)
{
	struct words w;

	if (m->kind == METRIC_COUNTS)
		snprintf(w.text, sizeof(w.text), "%.3g %%", amount * 100);
	else if (m->kind == METRIC_TIMES && amount < 1e-3)
		snprintf(w.text, sizeof(w.text), "%.3g us", amount * 1e6);
	else if (m->kind == METRIC_TIMES && amount < 1)
		snprintf(w.text, sizeof(w.text), "%.3g ms", amount * 1e3);
	else
		snprintf(w.text, sizeof(w.text), "%.4g%s", amount, m->kind == METRIC_TIMES ? " s" : "");
	return w;
}

static struct words evidence_words(double e)
{
	struct words w;

	if (e < 10)
		snprintf(w.text, sizeof(w.text), "%.2g", e);
	else if (e < 1e6)
		return count_words((uint64_t)e);
	else
		snprintf(w.text, sizeof(w.text), "over 1 000 000");
	return w;
}

/* What a number is: "p95 " or "mean ". */
static struct words kind_words(const struct metric_plan *m)
{
	struct words w = {0};

	if (m->kind == METRIC_TIMES)
		snprintf(w.text, sizeof(w.text), "p%g ", m->quantile * 100);
	else if (m->kind == METRIC_SCORES)
		snprintf(w.text, sizeof(w.text), "mean ");
	return w;
}

/* Goes on with the sentence. */
__attribute__((format(printf, 2, 3))) static void say(struct metric_result *ret, const char *format, ...)
{
	size_t used = strlen(ret->why);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ret->why + used, sizeof(ret->why) - used, format, arguments);
	va_end(arguments);
}

/* "5.2 % of 812" */
static void say_amount(const struct metric_plan *m, double amount, uint64_t samples, struct metric_result *ret)
{
	if (m->kind == METRIC_VALUE)
		say(ret, "%s", amount_words(m, amount).text);
	else
		say(ret, "%s of %s", amount_words(m, amount).text, count_words(samples).text);
}

static void say_limits(const struct metric_plan *m, struct metric_result *ret)
{
	if (m->has_min)
		say(ret, ", at least %s", amount_words(m, m->min).text);
	if (m->has_max)
		say(ret, ", at most %s", amount_words(m, m->max).text);
	say(ret, " wanted");
}

static void say_tolerated(const struct metric_plan *m, struct metric_result *ret)
{
	if (m->kind == METRIC_COUNTS)
		say(ret, ", %.4g times the odds tolerated", m->tolerance);
	else
		say(ret, ", %.3g %% %s tolerated", m->tolerance * 100,
		    m->lower_is_worse && m->kind != METRIC_TIMES ? "less" : "more");
}

void judge_explain(const struct metric_plan *m, enum beside beside, bool limited, struct metric_result *ret)
{
	if (ret->verdict == JUDGED_INCONCLUSIVE)
		say(ret, "worse than tolerated, not proven: ");
	say(ret, "%s", kind_words(m).text);
	say_amount(m, ret->candidate, ret->candidate_samples, ret);
	if (limited) {
		say_limits(m, ret);
	} else {
		say(ret, " against ");
		say_amount(m, ret->stable, ret->stable_samples, ret);
		say(ret, " of stable%s", beside == BESIDE_REFERENCE ? " before the switch" : "");
		say_tolerated(m, ret);
	}
	if (m->kind != METRIC_VALUE)
		say(ret, ": e = %s, proven from %s on", evidence_words(ret->evidence).text,
		    evidence_words(ret->needed).text);
}

void judge_explain_few(const struct metric_state *state, uint64_t needed, bool compared, struct metric_result *ret)
{
	say(ret, "too few samples in this step: %s of the candidate", count_words(state->step_candidate).text);
	if (compared)
		say(ret, " and %s of stable", count_words(state->step_stable).text);
	say(ret, ", %s needed", count_words(needed).text);
}
