/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_CONFIG_FIXTURE_H
#define HEADGATE_TEST_CONFIG_FIXTURE_H

/* Configurations that are right, as models. To be included behind cmocka.h. */
#include <string.h>

#include "config.h"

static inline struct model *parse(const char *yaml)
{
	struct problems problems = {};
	struct model *model = NULL;
	int err = config_parse("t.yaml", yaml, strlen(yaml), &problems, &model);

	if (problems.text)
		print_error("%s", problems.text);
	problems_clear(&problems);
	assert_int_equal(err, 0);
	return model;
}

#endif
