// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgate rollout simulate: what a plan would do, before it touches traffic. */
#include "rollout_simulate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "journal.h"
#include "simulation_view.h"
#include "text.h"

#define DEFAULT_RATE 100
#define RATE_MAX 1e7
#define PLAN_FILE_MAX (1U << 20)

/* The service that is named, or the only one. */
static struct service_model *choose_service(const struct invocation *call, struct model *model, const char *config)
{
	const char *name = call->argument_count > 1 ? call->arguments[1] : NULL;
	struct service_model *service;

	if (!name && model->service_count == 1)
		return &model->services[0];
	if (!name) {
		complain("%s has %zu services: say which, `headgate rollout simulate SERVICE`", config,
			 model->service_count);
		return NULL;
	}
	service = model_find_service(model, name);
	if (!service)
		complain("%s has no service %s", config, name);
	return service;
}

static enum exit_code complain_problems(const char *file, const struct problems *problems, int err)
{
	if (problems->text)
		fputs(problems->text, stderr);
	else
		complain("%s: %s", file, strerror(-err));
	return EXIT_REFUSED;
}

static int load_plan(const char *file, const struct service_model *service, struct problems *problems,
		     struct rollout_plan **ret)
{
	_cleanup_free_ char *text = malloc(PLAN_FILE_MAX);
	_cleanup_fclose_ FILE *in = fopen(file, "re");
	size_t length;

	if (!text)
		return -ENOMEM;
	if (!in)
		return -errno;
	length = fread(text, 1, PLAN_FILE_MAX, in);
	if (ferror(in))
		return -EIO;
	if (length == PLAN_FILE_MAX)
		return -EFBIG;
	return config_load_plan(file, text, length, service, problems, ret);
}

/* --- a recording -------------------------------------------------------------------------------------------------- */

/* The samples of one metric in an analysis' list of them. */
static int take_samples(const struct metric_plan *m, const json_t *list, struct sample *candidate,
			struct sample *stable)
{
	const json_t *one;
	size_t i;

	candidate->trouble = stable->trouble = JUDGED_NO_DATA;
	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "metric"));

		if (!name || strcmp(name, m->name))
			continue;
		if (sample_from_json(m, json_object_get(one, "candidate"), candidate))
			return -EINVAL;
		return sample_from_json(m, json_object_get(one, "stable"), stable);
	}
	return 0;
}

/* The newest rollout of the service that has analyses. */
static const json_t *find_recorded(const json_t *history, const char *service)
{
	const json_t *rollout;
	size_t i;

	json_array_foreach(json_object_get(history, "rollouts"), i, rollout)
	{
		const char *name = json_string_value(json_object_get(rollout, "service"));

		if (name && !strcmp(name, service) && json_array_size(json_object_get(rollout, "analyses")))
			return rollout;
	}
	return NULL;
}

static enum exit_code load_recording(const char *file, struct simulation *s, struct recorded **ret)
{
	const struct analysis_plan *a = &s->plan->analysis;
	json_error_t error;
	json_auto_t *history = json_load_file(file, 0, &error);
	const json_t *analyses, *analysis;
	_cleanup_free_ struct recorded *all = NULL;
	size_t i;

	if (!history) {
		complain("%s:%d:%d: %s", file, error.line, error.column, error.text);
		return EXIT_REFUSED;
	}
	analyses = json_object_get(find_recorded(history, s->service->name), "analyses");
	if (!json_array_size(analyses)) {
		complain("%s has no rollout of %s with analyses", file, s->service->name);
		return EXIT_REFUSED;
	}
	all = calloc(json_array_size(analyses), sizeof(*all));
	if (!all)
		return complain_memory();
	json_array_foreach(analyses, i, analysis)
	{
		const json_t *samples = json_object_get(analysis, "samples");

		for (size_t m = 0; m < a->metric_count; m++) {
			if (samples && !take_samples(&a->metrics[m], samples, &all[i].candidate[m], &all[i].stable[m]))
				continue;
			complain("%s: analysis %zu has no samples of %s that can be read: `headgate rollout history "
				 "%s -o json` gives them",
				 file, i + 1, a->metrics[m].name, s->service->name);
			return EXIT_REFUSED;
		}
	}
	s->recorded_count = json_array_size(analyses);
	s->recording = *ret = TAKE_PTR(all);
	return EXIT_DONE;
}

/* --- what is asked ------------------------------------------------------------------------------------------------ */

static enum exit_code take_behaviours(const struct invocation *call, struct simulation *s)
{
	const struct analysis_plan *a = &s->plan->analysis;
	struct refusal why;

	for (size_t i = 0; i < a->metric_count; i++)
		s->stable[i] = behaviour_default(&a->metrics[i]);
	if (call->stable && behaviour_parse(call->stable, a, s->stable, &why))
		return complain_usage(call, "--stable: %s", why.text);
	memcpy(s->candidate, s->stable, sizeof(s->candidate));
	if (call->candidate && behaviour_parse(call->candidate, a, s->candidate, &why))
		return complain_usage(call, "--candidate: %s", why.text);
	return EXIT_DONE;
}

static enum exit_code take_numbers(const struct invocation *call, struct simulation *s, uint32_t *ret_runs)
{
	uint32_t seed = 1, runs = 0;
	double rate = DEFAULT_RATE;
	char *end;

	if (call->rate) {
		rate = strtod(call->rate, &end);
		if (end == call->rate || *end || !(rate >= 0 && rate <= RATE_MAX))
			return complain_usage(call, "--rate takes a number from 0 to %g, not \"%s\"", RATE_MAX,
					      call->rate);
	}
	if (call->seed && text_number(call->seed, UINT32_MAX, &seed))
		return complain_usage(call, "--seed takes a whole number, not \"%s\"", call->seed);
	if (call->runs && text_number(call->runs, 1000000, &runs))
		return complain_usage(call, "--runs takes a whole number up to 1000000, not \"%s\"", call->runs);
	if (runs && call->recorded)
		return complain_usage(call, "--runs and --recorded exclude each other: what was recorded is always "
					    "the same");
	s->rate = rate;
	s->seed = seed;
	*ret_runs = runs;
	return EXIT_DONE;
}

/* With a service and a plan. */
static enum exit_code simulate(const struct invocation *call, const struct service_model *service,
			       const struct rollout_plan *plan)
{
	_cleanup_free_ struct recorded *recording = NULL;
	_cleanup_free_ struct simulation *s = calloc(1, sizeof(*s));
	enum exit_code code;
	uint32_t runs = 0;

	if (!s)
		return complain_memory();
	s->plan = plan;
	s->service = service;
	code = take_numbers(call, s, &runs);
	if (code == EXIT_DONE)
		code = take_behaviours(call, s);
	if (code == EXIT_DONE && call->recorded)
		code = load_recording(call->recorded, s, &recording);
	if (code != EXIT_DONE)
		return code;
	return runs ? simulation_view_many(s, runs, call->json) : simulation_view_one(s, call->json);
}

enum exit_code rollout_simulate(const struct invocation *call)
{
	_cleanup_(problems_clear) struct problems problems = {0};
	_cleanup_(model_freep) struct model *model = NULL;
	const char *config = call->config ?: DEFAULT_CONFIG;
	_cleanup_free_ struct rollout_plan *plan = NULL;
	const struct service_model *service;
	int err = config_load(config, &problems, &model);

	if (err)
		return complain_problems(config, &problems, err);
	service = choose_service(call, model, config);
	if (!service)
		return EXIT_REFUSED;
	if (call->plan) {
		err = load_plan(call->plan, service, &problems, &plan);
		return err ? complain_problems(call->plan, &problems, err) : simulate(call, service, plan);
	}
	if (!service->rollout) {
		complain("%s of %s has no rollout: give a plan (--plan FILE)", service->name, config);
		return EXIT_REFUSED;
	}
	return simulate(call, service, service->rollout);
}
