/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ROLLOUT_JSON_H
#define HEADGATE_ROLLOUT_JSON_H

/* What of a record changes while a rollout goes on, as the texts that the journal keeps. */
#include "journal.h"

struct record_texts {
	char *rollout, *metrics, *ratio, *arms;
};

void record_texts_clear(struct record_texts *texts);

/* @ret: to be cleared. 0 or -ENOMEM (also for what has no word). */
int record_to_texts(const struct rollout_record *record, struct record_texts *ret);

/**
 * record_from_texts - read what record_to_texts() wrote
 * @record: its plan is set; the rest is filled in, zero where the texts lack something. Half read after -EINVAL.
 */
int record_from_texts(const struct record_texts *texts, struct rollout_record *record);

/* The text of a JSON value, which is used up; NULL: out of memory, or @json is NULL. */
char *json_text_of(json_t *json);

#endif
