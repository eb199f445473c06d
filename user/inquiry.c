// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "inquiry.h"

#include <errno.h>

struct question {
	struct inquiry *inquiry;
	struct request *request; /* NULL: not asked, or answered */
};

struct inquiry {
	struct analysis_plan plan;
	size_t variant_count;
	struct question *questions; /* one a result */
	struct inquired *results;
	size_t unanswered;
	inquired_function done;
	void *context;
};

static void inquiry_free(struct inquiry *q)
{
	free(q->questions);
	free(q->results);
	free(q);
}

void inquiry_cancel(struct inquiry *q)
{
	if (!q)
		return;
	for (size_t i = 0; q->questions && i < q->plan.metric_count * q->variant_count; i++)
		request_cancel(q->questions[i].request);
	inquiry_free(q);
}
DEFINE_CLEANUP(struct inquiry, inquiry_cancel)

static void on_answered(void *context, const struct answer *answer)
{
	struct question *question = context;
	struct inquiry *q = question->inquiry;
	size_t index = question - q->questions;
	const struct metric_plan *m = &q->plan.metrics[index / q->variant_count];
	struct inquired *result = &q->results[index];

	question->request = NULL;
	if (m->source == SOURCE_PROMETHEUS)
		provider_prometheus(answer, &result->sample, result->why);
	else
		provider_webhook(m, answer, &result->sample, result->why);
	if (--q->unanswered)
		return;
	q->done(q->context, q->results);
	inquiry_free(q);
}

static bool is_asked(const struct metric_plan *m, size_t variant)
{
	if (m->source != SOURCE_PROMETHEUS && m->source != SOURCE_WEBHOOK)
		return false;
	return !variant || provider_is_by_variant(m);
}

static int ask(struct requests *r, struct inquiry *q, size_t index, const char *service, const char *variant)
{
	const struct metric_plan *m = &q->plan.metrics[index / q->variant_count];
	struct question *question = &q->questions[index];
	_cleanup_free_ char *url = provider_url(m, service, variant);
	int err;

	if (!url)
		return -ENOMEM;
	question->inquiry = q;
	err = request_start(r, url, NULL, m->timeout_ms, on_answered, question, &question->request);
	if (!err)
		q->unanswered++;
	return err;
}

int inquiry_start(struct requests *r, const struct analysis_plan *plan, const char *service,
		  const char *const *variants, size_t variant_count, inquired_function done, void *context,
		  struct inquiry **ret)
{
	_cleanup_(inquiry_cancelp) struct inquiry *q = calloc(1, sizeof(*q));
	size_t count = plan->metric_count * variant_count;

	*ret = NULL;
	if (!q)
		return -ENOMEM;
	q->plan = *plan;
	q->variant_count = variant_count;
	q->done = done;
	q->context = context;
	q->questions = calloc(count, sizeof(*q->questions));
	q->results = calloc(count, sizeof(*q->results));
	if (count && (!q->questions || !q->results))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		size_t variant = i % variant_count;
		int err;

		q->results[i].sample.trouble = JUDGED_NO_DATA;
		if (!is_asked(&plan->metrics[i / variant_count], variant))
			continue;
		err = ask(r, q, i, service, variants[variant]);
		if (err)
			return err;
	}
	if (q->unanswered)
		*ret = TAKE_PTR(q);
	return 0;
}
