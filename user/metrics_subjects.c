// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics_page.h"

#include <errno.h>

static void destroy_array(struct subject *subjects, size_t count)
{
	for (size_t i = 0; subjects && i < count; i++)
		free(subjects[i].labels);
	free(subjects);
}

void subjects_destroy(struct subjects *subjects)
{
	if (!subjects)
		return;
	destroy_array(subjects->services, subjects->service_count);
	destroy_array(subjects->variants, subjects->variant_count);
	destroy_array(subjects->backends, subjects->backend_count);
	free(subjects);
}

static uint32_t figures_of(const struct metrics_service *s)
{
	struct available available = available_for(s->forward, s->protocol);
	uint32_t figures = FIGURE_ANY | (s->forward == FORWARD_NAT ? FIGURE_NAT : FIGURE_STATELESS);

	if (s->forward == FORWARD_GUE)
		figures |= FIGURE_GUE;
	if (available.replies)
		figures |= FIGURE_REPLIES;
	if (available.connections)
		figures |= FIGURE_CONNECTIONS;
	if (available.requests)
		figures |= FIGURE_REQUESTS;
	if (available.active)
		figures |= FIGURE_ACTIVE;
	/* UDP without flow state opens nothing that could be counted, but for what its tracked slots remember. */
	if (available.opened)
		figures |= FIGURE_OPENED;
	return figures;
}

static int add_subject(struct subject *subjects, size_t *count, const struct subject *subject)
{
	const struct label labels[] = {
		{"service", subject->service->name},
		{"variant", subject->variant ? subject->variant->name : NULL},
		{"backend", subject->backend ? subject->backend->address : NULL},
	};
	char *text = exposition_labels(labels, subject->backend ? 3 : subject->variant ? 2 : 1);

	if (!text)
		return -ENOMEM;
	subjects[*count] = *subject;
	subjects[(*count)++].labels = text;
	return 0;
}

static int add_service(struct subjects *subjects, const struct metrics_service *s)
{
	struct subject subject = {.service = s, .figures = figures_of(s), .shift = s->sampled ? s->measure_shift : 0};

	if (add_subject(subjects->services, &subjects->service_count, &subject))
		return -ENOMEM;
	for (size_t v = 0; v < s->variant_count; v++) {
		subject.variant = &s->variants[v];
		subject.backend = NULL;
		if (add_subject(subjects->variants, &subjects->variant_count, &subject))
			return -ENOMEM;
		for (size_t b = 0; b < subject.variant->backend_count; b++) {
			subject.backend = &subject.variant->backends[b];
			if (add_subject(subjects->backends, &subjects->backend_count, &subject))
				return -ENOMEM;
		}
	}
	return 0;
}

int subjects_create(const struct metrics_snapshot *s, struct subjects **ret)
{
	_cleanup_(subjects_destroyp) struct subjects *subjects = calloc(1, sizeof(*subjects));
	size_t variants = 0, backends = 0;

	if (!subjects)
		return -ENOMEM;
	for (size_t i = 0; i < s->service_count; i++) {
		variants += s->services[i].variant_count;
		for (size_t v = 0; v < s->services[i].variant_count; v++)
			backends += s->services[i].variants[v].backend_count;
	}
	/* One more of each, as calloc(0) may answer NULL. */
	subjects->services = calloc(s->service_count + 1, sizeof(*subjects->services));
	subjects->variants = calloc(variants + 1, sizeof(*subjects->variants));
	subjects->backends = calloc(backends + 1, sizeof(*subjects->backends));
	if (!subjects->services || !subjects->variants || !subjects->backends)
		return -ENOMEM;
	for (size_t i = 0; i < s->service_count; i++)
		if (add_service(subjects, &s->services[i]))
			return -ENOMEM;
	*ret = TAKE_PTR(subjects);
	return 0;
}
