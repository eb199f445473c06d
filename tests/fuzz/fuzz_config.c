// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* libFuzzer's entry to the configuration: whatever the bytes, there is a model or there are problems, never both. */
#include <stdlib.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problems problems = {};
	struct model *model = NULL;
	int err = config_parse("fuzz.yaml", (const char *)data, size, &problems, &model);

	if (!err != !!model || !err != !problems.text || !err != !problems.count)
		abort();
	problems_clear(&problems);
	model_free(model);
	return 0;
}
