// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <string.h>

#include "provider.h"
#include "text.h"

static void read_body(const struct metric_plan *m, const json_t *body, struct sample *ret, struct refusal *why)
{
	struct pushed said = {};

	if (!json_is_object(body)) {
		ret->trouble = JUDGED_ERROR;
		refuse(why, EINVAL, "its answer is no JSON object");
		return;
	}
	if (json_is_null(json_object_get(body, "value"))) {
		ret->trouble = JUDGED_NO_DATA;
		refuse(why, ENODATA, "its value is null");
		return;
	}
	if (provider_push(m, body, &said, why)) {
		ret->trouble = JUDGED_ERROR;
		return;
	}
	provider_take_pushed(&said, ret);
	if (ret->trouble == JUDGED_NO_DATA)
		refuse(why, ENODATA, "it has no %s", m->kind == METRIC_COUNTS ? "trials" : "values");
}

void provider_webhook(const struct metric_plan *m, const struct answer *answer, struct sample *ret,
		      char why[PROVIDER_WHY_SIZE])
{
	struct refusal refusal = {};
	char text[WHY_SIZE];
	const char *trouble = answer_trouble(answer, text);

	memset(ret, 0, sizeof(*ret));
	if (trouble) {
		ret->trouble = JUDGED_ERROR;
		text_show(trouble, why, PROVIDER_WHY_SIZE);
	} else {
		json_t *body = json_loadb(answer->body, answer->length, 0, NULL);

		read_body(m, body, ret, &refusal);
		json_decref(body);
		text_show(refusal.text, why, PROVIDER_WHY_SIZE);
	}
}
