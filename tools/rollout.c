// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate rollout: what people say to a rollout. */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "nearest.h"
#include "rollout_actions.h"
#include "rollout_simulate.h"
#include "rollout_view.h"

#define PLAN_FILE_MAX (64U << 10) /* that headgated takes */

/* --- what was done, what is now, what comes next ------------------------------------------------------------------ */

/* What the first step does to traffic. */
static void print_first_step(const json_t *rollout)
{
	const json_t *step = json_array_get(json_object_get(rollout, "steps"), 0);
	const char *candidate = member_text(rollout, "candidate"), *stable = member_text(rollout, "stable");
	const char *kind = member_text(step, "kind");
	char text[STEP_TEXT_SIZE];

	fputs("has begun: ", stdout);
	if (!strcmp(kind, "weight"))
		printf("%s gets %.4g %% of %s's traffic first", candidate, member_number(step, "share"), stable);
	else if (!strcmp(kind, "healthy"))
		printf("every backend of %s has to be healthy first", candidate);
	else if (!strcmp(kind, "switch"))
		printf("%s gets all of %s's traffic at once", candidate, stable);
	else
		printf("%s comes first", rollout_view_step(step, text));
}

static const struct said {
	const char *action;
	bool full;
	const char *done; /* NULL: how it begins */
} said[] = {
	{"start", false, NULL},
	{"retry", false, NULL},
	{"pause", false, "is paused; it is judged all the same, and goes back if it fails"},
	{"resume", false, "goes on"},
	{"approve", false, "is approved"},
	{"promote", false, "waits no longer in this step"},
	{"promote", true, "waits for no step any more: the candidate gets all of the traffic"},
	{"rollback", false, "goes back: weights are as before it, connections do as drain.on_rollback says"},
	{"abort", false, "is aborted: weights are as before it, connections do as drain.on_change says"},
	{"undo", false, "is undone: weights are as before it"},
};

static void print_next(const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	size_t done = rollout_view_steps_done(rollout);
	const json_t *next = json_array_get(json_object_get(rollout, "steps"), done + 1);
	char text[STEP_TEXT_SIZE];

	rollout_view_summary(stdout, rollout);
	if (next && !rollout_view_is_over(rollout))
		printf(", then %s", rollout_view_step(next, text));
	fputs("; ", stdout);
	rollout_view_advice(stdout, report);
	putchar('\n');
}

static void render_said(const struct invocation *call, const json_t *report)
{
	const json_t *rollout = json_object_get(report, "rollout");
	const struct said *what = said;

	while (strcmp(what->action, call->arguments[0]) || what->full != call->full)
		what++;
	printf("%s: rollout %llu ", call->arguments[1], member_count(rollout, "id"));
	if (what->done)
		fputs(what->done, stdout);
	else
		print_first_step(rollout);
	putchar('\n');
	if (strcmp(what->action, "undo"))
		print_next(report);
}

/* --- what is asked ------------------------------------------------------------------------------------------------ */

/* The plan's text, as it is. */
static enum exit_code read_plan(const char *path, json_t **ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = malloc(PLAN_FILE_MAX + 1);
	json_t *plan;
	size_t length;

	if (!text)
		return complain_memory();
	length = file ? fread(text, 1, PLAN_FILE_MAX + 1, file) : 0;
	if (!file || ferror(file)) {
		complain("cannot read the plan %s: %s", path, strerror(errno));
		return EXIT_REFUSED;
	}
	plan = length <= PLAN_FILE_MAX ? json_stringn(text, length) : NULL;
	if (!plan) {
		complain("%s is no plan: it is %s", path, length > PLAN_FILE_MAX ? "too long" : "not UTF-8");
		return EXIT_REFUSED;
	}
	*ret = plan;
	return EXIT_DONE;
}

static enum exit_code say(const struct invocation *call)
{
	_cleanup_free_ char *path = service_path(call->arguments[1], "/rollout");
	json_auto_t *request = json_pack("{s:s}", "action", call->arguments[0]);
	json_t *plan = NULL;

	if (!request)
		return complain_memory();
	if (call->plan) {
		enum exit_code code = read_plan(call->plan, &plan);

		if (code != EXIT_DONE)
			return code;
		json_object_set_new(request, "plan", plan);
		json_object_set_new(request, "file", json_string(call->plan) ?: json_string("the plan"));
	}
	if (call->full)
		json_object_set_new(request, "full", json_true());
	return converse(call, "POST", path, request, render_said);
}

static const struct action {
	const char *name;
	unsigned int options;                /* that it takes */
	size_t arguments_min, arguments_max; /* with its own name */
	enum exit_code (*run)(const struct invocation *call);
} actions[] = {
	{"start", OPTION_PLAN, 2, 2, say},
	{"status", 0, 1, 2, rollout_status},
	{"watch", OPTION_TIMEOUT, 2, 2, rollout_watch},
	{"pause", 0, 2, 2, say},
	{"resume", 0, 2, 2, say},
	{"approve", 0, 2, 2, say},
	{"promote", OPTION_FULL, 2, 2, say},
	{"rollback", 0, 2, 2, say},
	{"abort", 0, 2, 2, say},
	{"retry", 0, 2, 2, say},
	{"undo", 0, 2, 2, say},
	{"history", OPTION_LIMIT | OPTION_ROLLOUT | OPTION_SAMPLES, 2, 2, rollout_history},
	{"simulate", ROLLOUT_SIMULATE_OPTIONS, 1, 2, rollout_simulate},
};

static enum exit_code run(const struct invocation *call)
{
	const char *names[ARRAY_SIZE(actions) + 1] = {NULL}, *name = call->arguments[0];

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		const struct action *a = &actions[i];

		names[i] = a->name;
		if (strcmp(name, a->name))
			continue;
		if (call->options & ~a->options)
			return complain_usage(call, "an option was given that `headgate rollout %s` does not take",
					      name);
		if (call->argument_count >= a->arguments_min && call->argument_count <= a->arguments_max)
			return a->run(call);
		return complain_usage(call, "usage: headgate rollout %s %s", name,
				      a->arguments_min > 1 ? "SERVICE" : "[SERVICE]");
	}
	return complain_action(call, name, names);
}

const struct command command_rollout = {
	.name = "rollout",
	.synopsis = "ACTION [SERVICE] [OPTION ...]",
	.summary = "move traffic to a new version in steps that are judged",
	.help = "  start SERVICE [--plan FILE]  begin what the configuration plans, or FILE\n"
		"  status [SERVICE]             where the rollouts are; of one, all that is known\n"
		"  watch SERVICE                the same, live, until it is over\n"
		"  pause, resume SERVICE        stay in this step, and go on\n"
		"  approve SERVICE              go on where the plan waits for a person\n"
		"  promote SERVICE [--full]     end this step now, or all of them\n"
		"  rollback SERVICE             go back now; connections do as drain.on_rollback says\n"
		"  abort SERVICE                go back now; connections do as drain.on_change says\n"
		"  retry SERVICE                begin the last one again, which failed or was aborted\n"
		"  undo SERVICE                 weights as before the last one, which succeeded\n"
		"  history SERVICE [--limit N] [--rollout ID] [--samples]\n"
		"                               what happened: transitions, analyses, who did what\n"
		"  simulate [SERVICE] ...       what a plan would do; asks no headgated\n\n"
		"watch draws on a terminal: q leaves, p pauses and resumes, a approves, x rolls back. Elsewhere, and\n"
		"with -o json, it prints a line for each change. It exits with 0 when the rollout has succeeded, and\n"
		"with 1 when it failed, was aborted, or was left before it was over.\n\n"
		"Examples:\n  headgate rollout start llm --plan canary.yaml\n  headgate rollout watch llm\n"
		"  headgate rollout approve llm",
	.options = OPTION_PLAN | OPTION_FULL | OPTION_ROLLOUT | OPTION_TIMEOUT | OPTION_LIMIT | OPTION_SAMPLES |
		   ROLLOUT_SIMULATE_OPTIONS,
	.arguments_min = 1,
	.arguments_max = 2,
	.run = run,
};
