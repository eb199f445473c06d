// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>

#include "metrics_page.h"

#define STATE_LABEL_SIZE 64
#define METRIC_LABEL_SIZE (NAME_SIZE + 64)

static const struct metrics_rollout *rollout_of(const struct subject *subject)
{
	return subject->service->rollout;
}

static void render_states(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = {"headgate_rollout_state", FAMILY_GAUGE,
					     "1 for the state that the service's newest rollout is in, else 0."};
	char label[STATE_LABEL_SIZE];

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_rollout *r = rollout_of(&subjects->services[i]);

		for (enum rollout_state state = 0; r && state < ROLLOUT_STATES; state++) {
			snprintf(label, sizeof(label), "state=\"%s\"", name_of_rollout_state(state));
			exposition_integer(e, "", subjects->services[i].labels, label, r->state == state);
		}
	}
}

static void render_progress(struct exposition *e, const struct subjects *subjects)
{
	static const struct family families[] = {
		{"headgate_rollout_step", FAMILY_GAUGE,
		 "The rollout's step, from 1; above headgate_rollout_steps: done."},
		{"headgate_rollout_steps", FAMILY_GAUGE, "Steps of the rollout's plan."},
		{"headgate_rollout_share_ratio", FAMILY_GAUGE,
		 "Share of what stable and candidate have together that the candidate is to have."},
		{"headgate_rollout_analyses_total", FAMILY_COUNTER, "Analyses of the rollout."},
		{"headgate_rollout_troubled", FAMILY_GAUGE,
		 "1 while something keeps the rollout from going on that is tried again; the daemon's warnings say "
		 "what."},
	};

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		exposition_family(e, &families[f]);
		for (size_t i = 0; i < subjects->service_count; i++) {
			const struct metrics_rollout *r = rollout_of(&subjects->services[i]);

			if (!r)
				continue;
			const double values[] = {r->step + 1, r->step_count, r->share, r->analyses, r->troubled};

			exposition_real(e, "", subjects->services[i].labels, NULL, values[f]);
		}
	}
}

static void render_verdicts(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = {
		"headgate_rollout_metric_verdict", FAMILY_GAUGE,
		"1 for what the metric came to in the newest analysis, else 0; none: not judged."};
	char label[METRIC_LABEL_SIZE];

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_rollout *r = rollout_of(&subjects->services[i]);

		for (size_t m = 0; r && m < r->metric_count; m++)
			for (enum judged verdict = JUDGED_NOTHING; verdict <= JUDGED_VOID; verdict++) {
				snprintf(label, sizeof(label), "metric=\"%s\",verdict=\"%s\"", r->metrics[m].name,
					 name_of_judged(verdict));
				exposition_integer(e, "", subjects->services[i].labels, label,
						   r->metrics[m].verdict == verdict);
			}
	}
}

static void render_evidence(struct exposition *e, const struct subjects *subjects)
{
	static const struct family families[] = {
		{"headgate_rollout_metric_evidence", FAMILY_GAUGE,
		 "Evidence (e-value) that the candidate is worse; absent for values, which prove nothing."},
		{"headgate_rollout_metric_evidence_needed", FAMILY_GAUGE, "Evidence from which on it is proven."},
	};
	char label[METRIC_LABEL_SIZE];

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		exposition_family(e, &families[f]);
		for (size_t i = 0; i < subjects->service_count; i++) {
			const struct metrics_rollout *r = rollout_of(&subjects->services[i]);

			for (size_t m = 0; r && m < r->metric_count; m++) {
				const struct metrics_rollout_metric *metric = &r->metrics[m];

				if (!isfinite(metric->evidence) || !isfinite(metric->needed))
					continue;
				snprintf(label, sizeof(label), "metric=\"%s\"", metric->name);
				exposition_real(e, "", subjects->services[i].labels, label,
						f ? metric->needed : metric->evidence);
			}
		}
	}
}

void metrics_render_rollouts(struct exposition *e, const struct subjects *subjects)
{
	render_states(e, subjects);
	render_progress(e, subjects);
	render_verdicts(e, subjects);
	render_evidence(e, subjects);
}
