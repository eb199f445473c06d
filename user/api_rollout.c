// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rollouts: what people ask of them and have them do, and what evaluators push. */
#include "api_exchange.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "text.h"

#define PLAN_BYTES_MAX (64U << 10)
#define HISTORY_SHOWN 20
#define HISTORY_MAX 100

static struct actor actor_of(const struct exchange *x)
{
	return (struct actor){.uid = x->request->peer_uid, .pid = x->request->peer_pid};
}

/*
 * Of the service of the path, by its name: what is done with a rollout replaces the model, and x->service with it.
 */
static unsigned int answer_report(struct exchange *x, const char *service)
{
	x->answer = conductor_report(x->daemon->conductor, service);
	return 200;
}

struct service_name {
	char text[NAME_SIZE];
};

static struct service_name name_of(const struct exchange *x)
{
	struct service_name name;

	memcpy(name.text, x->service->name, NAME_SIZE);
	return name;
}

unsigned int get_rollouts(struct exchange *x)
{
	x->answer = json_pack("{s:o}", "rollouts", conductor_report_all(x->daemon->conductor));
	return 200;
}

unsigned int get_rollout(struct exchange *x)
{
	return answer_report(x, x->service->name);
}

/* A number of the query; @ret keeps what it has where there is none. */
static bool query_number(const struct exchange *x, const char *name, uint32_t max, uint32_t *ret)
{
	const char *text = x->request->query(x->request->context, name);

	return !text || !text_number(text, max, ret);
}

/* A question that may have an answer of many megabytes: asked in a thread of its own. */
struct history_question {
	char journal[PATH_MAX];
	struct service_name service;
	uint32_t rollout, limit;
	bool samples;
};

static char *answer_history(void *input)
{
	_cleanup_free_ struct history_question *q = input;
	_cleanup_(journal_closep) struct journal *journal = NULL;
	json_t *history;
	char *text;

	if (journal_open_reader(q->journal, &journal))
		return NULL;
	history = journal_history(journal, q->service.text, q->rollout, q->limit, q->samples);
	text = history ? json_dumps(history, JSON_COMPACT) : NULL;
	json_decref(history);
	return text;
}

static unsigned int ask_history(struct exchange *x, uint32_t rollout, uint32_t limit, bool samples)
{
	_cleanup_free_ struct history_question *q = calloc(1, sizeof(*q));
	int error;

	if (!q)
		return refused(x, 500, "out of memory");
	*q = (struct history_question){.service = name_of(x), .rollout = rollout, .limit = limit, .samples = samples};
	snprintf(q->journal, sizeof(q->journal), "%s", x->daemon->options.journal);
	error = x->request->later(x->request->context, answer_history, q);
	if (error == -EBUSY)
		return refused(x, 409, "others are asking for as much just now; ask again");
	if (error)
		return refused(x, 500, "it cannot be looked up: %s", strerror(-error));
	(void)TAKE_PTR(q);
	return API_LATER;
}

unsigned int get_rollout_history(struct exchange *x)
{
	uint32_t limit = HISTORY_SHOWN, rollout = 0, samples = 0;

	if (!query_number(x, "limit", HISTORY_MAX, &limit) || !query_number(x, "rollout", INT32_MAX, &rollout) ||
	    !query_number(x, "samples", 1, &samples))
		return refused(x, 400, "limit is a number from 0 to %d, rollout a rollout's id, samples 0 or 1",
			       HISTORY_MAX);
	return ask_history(x, rollout, limit, samples);
}

/* --- what people have done --- */

/* The plan that came with the request; NULL: none did. */
static unsigned int read_plan(struct exchange *x, struct rollout_plan **ret)
{
	const json_t *text = json_object_get(x->input, "plan");
	const char *name = json_string_value(json_object_get(x->input, "file")) ?: "plan";
	struct problems problems = {};
	int error;

	if (!text)
		return 200;
	if (!json_is_string(text) || json_string_length(text) > PLAN_BYTES_MAX)
		return refused(x, 400, "plan must be the text of a plan, at most %u bytes", PLAN_BYTES_MAX);
	error = config_load_plan(name, json_string_value(text), json_string_length(text), x->service, &problems, ret);
	if (error) {
		refused(x, 400, "the plan has %zu mistake%s; nothing was changed", problems.count,
			problems.count == 1 ? "" : "s");
		json_object_set_new(x->answer, "problems", lines_to_array(problems.text));
	}
	problems_clear(&problems);
	return error ? 400 : 200;
}

static unsigned int start(struct exchange *x)
{
	_cleanup_free_ struct rollout_plan *plan = NULL;
	struct service_name service = name_of(x);
	struct actor by = actor_of(x);
	unsigned int status = read_plan(x, &plan);
	struct refusal why = {};
	char what[256];
	int error;

	if (status != 200)
		return status;
	error = conductor_start(x->daemon->conductor, service.text, plan, &by, &why);
	snprintf(what, sizeof(what), "rollout start %s", service.text);
	audit(x, what, error ? &why : NULL);
	return error ? refused_why(x, error, &why) : answer_report(x, service.text);
}

/* -EINVAL: no such action. */
static int act(struct exchange *x, const char *service, const char *action, struct refusal *why)
{
	static const struct {
		const char *word;
		enum rollout_command command;
	} commands[] = {
		{"pause", COMMAND_PAUSE},     {"resume", COMMAND_RESUME},     {"approve", COMMAND_APPROVE},
		{"promote", COMMAND_PROMOTE}, {"rollback", COMMAND_ROLLBACK}, {"abort", COMMAND_ABORT},
	};
	struct conductor *c = x->daemon->conductor;
	struct actor by = actor_of(x);

	if (!strcmp(action, "promote") && json_is_true(json_object_get(x->input, "full")))
		return conductor_command(c, service, COMMAND_PROMOTE_FULL, &by, why);
	if (!strcmp(action, "retry"))
		return conductor_retry(c, service, &by, why);
	if (!strcmp(action, "undo"))
		return conductor_undo(c, service, &by, why);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(action, commands[i].word))
			return conductor_command(c, service, commands[i].command, &by, why);
	return refuse(why, EINVAL,
		      "action must be start, pause, resume, approve, promote, rollback, abort, retry or undo, not "
		      "'%.64s'",
		      action);
}

unsigned int post_rollout(struct exchange *x)
{
	const char *action = json_string_value(json_object_get(x->input, "action"));
	struct service_name service = name_of(x);
	struct refusal why = {};
	char what[256];
	int error;

	if (action && !strcmp(action, "start"))
		return start(x);
	error = act(x, service.text, action ?: "", &why);
	snprintf(what, sizeof(what), "rollout %.64s %s", action ?: "", service.text);
	audit(x, what, error ? &why : NULL);
	return error ? refused_why(x, error, &why) : answer_report(x, service.text);
}

/* --- evaluators --- */

unsigned int post_rollout_metrics(struct exchange *x)
{
	const char *metric = json_string_value(json_object_get(x->input, "metric"));
	const char *variant = json_string_value(json_object_get(x->input, "variant"));
	struct refusal why = {};
	int accepted;

	if (!metric || !variant)
		return refused(x, 400,
			       "the body must be {\"metric\": \"NAME\", \"variant\": \"NAME\", ..} with events and "
			       "trials, value, or values");
	accepted = conductor_push(x->daemon->conductor, x->service->name, metric, variant, x->input, &why);
	if (accepted < 0)
		return refused_why(x, accepted, &why);
	x->answer = json_pack("{s:i}", "accepted", accepted);
	return 200;
}
