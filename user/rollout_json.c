// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rollout_json.h"

#include <errno.h>
#include <string.h>

#include "json_fields.h"
#include "names.h"

WORDS(rollout_states, enum rollout_state, name_of_rollout_state, ROLLOUT_STATES);
WORDS(step_phases, enum step_phase, name_of_step_phase, PHASE_AFTER + 1);
WORDS(verdicts, enum judged, name_of_judged, JUDGED_VOID + 1);
WORDS(shadow_states, enum shadow_state, name_of_shadow_state, SHADOW_PAUSED + 1);

/* clang-format off */
FIELDS(before_fields,
	PLAIN(struct weight_before, variant),
	PLAIN(struct weight_before, weight));

FIELDS(rollout_fields,
	PLAIN(struct rollout, id),
	PLAIN(struct rollout, service),
	WORD(struct rollout, state, rollout_states),
	PLAIN(struct rollout, resumes_waiting),
	PLAIN(struct rollout, by_person),
	PLAIN(struct rollout, frozen),
	PLAIN(struct rollout, step),
	WORD(struct rollout, phase, step_phases),
	PLAIN(struct rollout, transitions),
	PLAIN(struct rollout, now_ns),
	PLAIN(struct rollout, began_ns),
	PLAIN(struct rollout, step_ran_ns),
	PLAIN(struct rollout, in_force_ns),
	PLAIN(struct rollout, without_progress_ns),
	PLAIN(struct rollout, analyses),
	PLAIN(struct rollout, step_passes),
	PLAIN(struct rollout, step_failures),
	WORD(struct rollout, last, verdicts),
	PLAIN(struct rollout, cause),
	LIST(struct rollout, before, before_count, before_fields),
	WORD(struct rollout, shadow_before, shadow_states),
	PLAIN(struct rollout, sample_before),
	PLAIN(struct rollout, winner));

FIELDS(evidence_fields,
	PLAIN(struct evidence, intervals),
	NUMBERS(struct evidence, mixed),
	PLAIN(struct evidence, highest));

FIELDS(total_fields,
	PLAIN(struct arm_total, trials),
	PLAIN(struct arm_total, events),
	HISTOGRAM(struct arm_total, histogram),
	PLAIN(struct arm_total, sum),
	PLAIN(struct arm_total, squares),
	PLAIN(struct arm_total, weighted),
	PLAIN(struct arm_total, weight),
	PLAIN(struct arm_total, penalty),
	PLAIN(struct arm_total, value));

FIELDS(state_fields,
	STRUCT(struct metric_state, compared, evidence_fields),
	STRUCT(struct metric_state, limited, evidence_fields),
	STRUCT(struct metric_state, candidate, total_fields),
	STRUCT(struct metric_state, stable, total_fields),
	PLAIN(struct metric_state, step_candidate),
	PLAIN(struct metric_state, step_stable),
	PLAIN(struct metric_state, step_compared),
	PLAIN(struct metric_state, step_above),
	PLAIN(struct metric_state, step_below));

FIELDS(ratio_fields,
	NUMBERS(struct ratio_state, opened),
	PLAIN(struct ratio_state, highest));
/* clang-format on */

void record_texts_clear(struct record_texts *texts)
{
	free(texts->rollout);
	free(texts->metrics);
	free(texts->ratio);
	free(texts->arms);
	*texts = (struct record_texts){};
}

char *json_text_of(json_t *json)
{
	char *text = json ? json_dumps(json, JSON_FIELDS_EXACT) : NULL;

	json_decref(json);
	return text;
}

/* An array of metrics, each an array of arms. */
static json_t *arms_to_json(const struct rollout_record *record)
{
	const struct rollout_plan *plan = &record->plan;
	_cleanup_(json_decrefp) json_t *metrics = json_array();

	for (size_t i = 0; plan->arm_count && i < plan->analysis.metric_count; i++) {
		if (json_array_append_new(metrics, array_to_json(&total_fields, record->arms[i],
								 sizeof(record->arms[i][0]), plan->arm_count)))
			return NULL;
	}
	return TAKE_PTR(metrics);
}

static int arms_from_json(const json_t *json, struct rollout_record *record)
{
	const json_t *arms;
	size_t i;

	if (!json_is_array(json) || json_array_size(json) > record->plan.analysis.metric_count)
		return -EINVAL;
	json_array_foreach((json_t *)json, i, arms)
	{
		int err = array_from_json(&total_fields, arms, record->arms[i], sizeof(record->arms[i][0]),
					  record->plan.arm_count);

		if (err)
			return err;
	}
	return 0;
}

int record_to_texts(const struct rollout_record *record, struct record_texts *ret)
{
	_cleanup_(record_texts_clear) struct record_texts texts = {
		.rollout = json_text_of(fields_to_json(&rollout_fields, &record->rollout)),
		.metrics = json_text_of(array_to_json(&state_fields, record->metrics, sizeof(record->metrics[0]),
						      record->plan.analysis.metric_count)),
		.ratio = json_text_of(fields_to_json(&ratio_fields, &record->ratio)),
		.arms = json_text_of(arms_to_json(record)),
	};

	if (!texts.rollout || !texts.metrics || !texts.ratio || !texts.arms)
		return -ENOMEM;
	*ret = texts;
	texts = (struct record_texts){};
	return 0;
}

static json_t *parse(const char *text)
{
	return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

/* What other fields are indices into is there: whoever has an index from the journal does not ask. */
static bool indices_fit(const struct rollout_plan *plan, const struct rollout *r)
{
	bool behind_last = r->step == plan->step_count && r->state > ROLLOUT_WAITING_APPROVAL;

	return (r->step < plan->step_count || behind_last) && r->winner >= -1 && r->winner < (int)plan->arm_count;
}

int record_from_texts(const struct record_texts *texts, struct rollout_record *record)
{
	_cleanup_(json_decrefp) json_t *rollout = parse(texts->rollout);
	_cleanup_(json_decrefp) json_t *metrics = parse(texts->metrics);
	_cleanup_(json_decrefp) json_t *ratio = parse(texts->ratio);
	_cleanup_(json_decrefp) json_t *arms = parse(texts->arms);
	int err;

	memset(&record->rollout, 0, sizeof(record->rollout));
	memset(record->metrics, 0, sizeof(record->metrics));
	memset(&record->ratio, 0, sizeof(record->ratio));
	memset(record->arms, 0, sizeof(record->arms));
	record->rollout.winner = -1;
	err = fields_from_json(&rollout_fields, rollout, &record->rollout);
	if (!err && !indices_fit(&record->plan, &record->rollout))
		err = -EINVAL;
	if (!err)
		err = array_from_json(&state_fields, metrics, record->metrics, sizeof(record->metrics[0]),
				      record->plan.analysis.metric_count);
	if (!err)
		err = fields_from_json(&ratio_fields, ratio, &record->ratio);
	return err ?: arms_from_json(arms, record);
}
