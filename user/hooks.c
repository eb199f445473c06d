// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hooks.h"

#include <errno.h>
#include <string.h>

#include "text.h"

struct call {
	struct hooking *hooking;
	struct request *request; /* NULL: answered */
};

struct hooking {
	struct call calls[PLAN_HOOKS_MAX];
	size_t unanswered;
	enum hook_answer answer; /* of those that have answered */
	char why[HOOK_WHY_SIZE];
	hooked_function done;
	void *context;
};

/* --- what one says --- */

/* Nonsense holds, too: only a plain true fails a rollout. @ret_reason: the hook's own words, NULL if it has none. */
static enum hook_answer judge(const json_t *body, bool good, const char **ret_reason)
{
	const json_t *fail = json_object_get(body, "fail");
	const json_t *hold = json_object_get(body, "hold");

	*ret_reason = json_string_value(json_object_get(body, "reason"));
	if (good && json_is_true(fail))
		return HOOK_FAIL;
	if (good && (!fail || json_is_false(fail)) && (!hold || json_is_false(hold)))
		return HOOK_GO;
	return HOOK_HOLD;
}

/* Where, what was wrong, and the hook's own words, as far as there are any. */
static void say_why(struct hooking *h, const char *url, const char *trouble, const char *reason)
{
	char where[URL_SHOWN_SIZE], text[4 * WHY_SIZE];

	if (trouble && reason)
		snprintf(text, sizeof(text), "%s: %s: %s", url_shown(url, true, where), trouble, reason);
	else
		snprintf(text, sizeof(text), "%s: %s", url_shown(url, true, where),
			 trouble ?: reason ?: "it gives no reason");
	text_show(text, h->why, sizeof(h->why));
}

static void take_answer(struct hooking *h, const struct answer *answer)
{
	json_t *body = json_loadb(answer->body, answer->length, 0, NULL);
	char text[WHY_SIZE];
	const char *trouble = answer_trouble(answer, text), *reason;
	enum hook_answer said;

	/* "ok" is fine; what was meant to be more may have been a no. */
	if (!trouble && !body && answer->body[strspn(answer->body, " \t\r\n")] == '{')
		trouble = "its answer is broken JSON";
	said = judge(body, !trouble, &reason);
	if (said > h->answer) {
		h->answer = said;
		if (said != HOOK_GO)
			say_why(h, answer->url, trouble, reason);
	}
	json_decref(body);
}

/* --- all together --- */

static void on_answered(void *context, const struct answer *answer)
{
	struct call *call = context;
	struct hooking *h = call->hooking;

	call->request = NULL;
	take_answer(h, answer);
	if (--h->unanswered)
		return;
	h->done(h->context, h->answer, h->why);
	free(h);
}

void hooking_cancel(struct hooking *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < PLAN_HOOKS_MAX; i++)
		request_cancel(h->calls[i].request);
	free(h);
}
DEFINE_CLEANUP(struct hooking, hooking_cancel)

int hooking_start(struct requests *r, const struct rollout_plan *plan, bool after, const json_t *rollout,
		  hooked_function done, void *context, struct hooking **ret)
{
	_cleanup_(hooking_cancelp) struct hooking *h = calloc(1, sizeof(*h));
	_cleanup_free_ char *body = json_dumps(rollout, JSON_COMPACT);

	*ret = NULL;
	if (!h || !body)
		return -ENOMEM;
	h->done = done;
	h->context = context;
	for (size_t i = 0; i < plan->hook_count; i++) {
		const struct hook_plan *hook = &plan->hooks[i];
		struct call *call = &h->calls[i];
		int err;

		if (hook->after != after)
			continue;
		call->hooking = h;
		err = request_start(r, hook->url, body, hook->timeout_ms, on_answered, call, &call->request);
		if (err)
			return err;
		h->unanswered++;
	}
	if (h->unanswered)
		*ret = TAKE_PTR(h);
	return 0;
}
