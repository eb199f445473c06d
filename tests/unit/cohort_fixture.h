/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_COHORT_FIXTURE_H
#define HEADGATE_TEST_COHORT_FIXTURE_H

#include <string.h>

#include "model.h"

/* One that nobody owns, and that never expires. */
static inline int add_cohort(struct service_model *s, const struct prefix *source, const char *variant, bool by_command,
			     struct refusal *why)
{
	struct cohort_model cohort;

	memset(&cohort, 0, sizeof(cohort));
	cohort.source = *source;
	cohort.by_command = by_command;
	strcpy(cohort.variant, variant);
	return service_add_cohort(s, &cohort, why);
}

#endif
