// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "simulation_view.h"

#include <inttypes.h>
#include <string.h>

#include "render.h"
#include "view.h"

/* What ends there are, as people call them. */
static const char *name_of_end(const struct simulation_end *end)
{
	switch (end->stop) {
	case SIMULATION_PAUSED:
		return "Paused";
	case SIMULATION_UNPLAYED:
		return "recording over";
	case SIMULATION_ENDLESS:
		return "no end";
	default:
		break;
	}
	if (end->state != ROLLOUT_FAILED)
		return name_of_rollout_state(end->state);
	switch (end->failed_by) {
	case JUDGED_NOTHING:
		return "Failed by deadline";
	case JUDGED_NO_DATA:
		return "Failed by no data";
	case JUDGED_ERROR:
		return "Failed by error";
	case JUDGED_INCONCLUSIVE:
		return "Failed by inconclusive";
	default:
		return "Failed by analysis";
	}
}

/* --- one rollout -------------------------------------------------------------------------------------------------- */

/* A timeline that grows. Analyses that came to the same, one behind the other, are one row for people. */
struct timeline {
	const struct simulation *s;
	struct listing *listing; /* for people; else: */
	json_t *events;
	uint64_t alike; /* analyses in a row */
	enum judged verdict;
	uint64_t at_ms;
	uint32_t step;
	double share;
	char why[280];
};

static void add_row(struct timeline *t, uint64_t at_ms, const char *state, uint32_t step, double share)
{
	char time[QUANTITY_SIZE];
	size_t steps = t->s->plan->step_count;

	listing_add(t->listing, "%s", at_ms ? format_duration((double)at_ms / 1e3, time) : "0s");
	listing_add(t->listing, "%s", state);
	if (step < steps)
		listing_add(t->listing, "%u/%zu", step + 1, steps);
	else
		listing_add(t->listing, "-");
	listing_add(t->listing, "%g%%", share);
}

static void close_row(struct timeline *t)
{
	if (t->alike) {
		add_row(t, t->at_ms, "", t->step, t->share);
		listing_add(t->listing, "%" PRIu64 " analys%s came to %s%s%s", t->alike, t->alike == 1 ? "is" : "es",
			    name_of_judged(t->verdict), *t->why ? ", as " : "", t->why);
	}
	t->alike = 0;
}

/* The first metric that made the verdict what it is. */
static const char *deciding_why(const struct timeline *t, const struct simulated *what, char *text, size_t bytes)
{
	const struct analysis_plan *a = &t->s->plan->analysis;

	*text = '\0';
	for (size_t i = 0; i < a->metric_count && what->verdict != JUDGED_PASS; i++) {
		if (a->metrics[i].dry_run || what->results[i].verdict != what->verdict)
			continue;
		snprintf(text, bytes, "%s: %s", a->metrics[i].name, what->results[i].why);
		break;
	}
	return text;
}

static json_t *metrics_json(const struct timeline *t, const struct simulated *what)
{
	const struct analysis_plan *a = &t->s->plan->analysis;
	json_t *list = json_array();

	for (size_t i = 0; i < a->metric_count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "name", a->metrics[i].name, "verdict",
						      name_of_judged(what->results[i].verdict), "proven",
						      what->results[i].proven, "why", what->results[i].why));
	return list;
}

static void told_json(struct timeline *t, const struct simulated *what)
{
	const struct rollout *r = what->rollout;
	double share = rollout_share(t->s->plan, r) / 100.0;
	json_t *event = json_pack("{s:f, s:s, s:i, s:f}", "at_s", (double)what->at_ms / 1e3, "state",
				  name_of_rollout_state(r->state), "step", (int)r->step, "share", share);

	if (what->analysed) {
		json_object_set_new(event, "verdict", json_string(name_of_judged(what->verdict)));
		json_object_set_new(event, "metrics", metrics_json(t, what));
	} else {
		json_object_set_new(event, "cause", json_string(r->cause));
	}
	json_array_append_new(t->events, event);
}

static void told(void *context, const struct simulated *what)
{
	struct timeline *t = context;
	const struct rollout *r = what->rollout;
	double share = rollout_share(t->s->plan, r) / 100.0;

	if (t->events) {
		told_json(t, what);
		return;
	}
	if (!what->analysed) {
		close_row(t);
		add_row(t, what->at_ms, name_of_rollout_state(r->state), r->step, share);
		listing_add(t->listing, "%s", r->cause);
		return;
	}
	if (t->alike && t->verdict != what->verdict)
		close_row(t);
	t->alike++;
	t->verdict = what->verdict;
	t->at_ms = what->at_ms;
	t->step = r->step;
	t->share = share;
	deciding_why(t, what, t->why, sizeof(t->why));
}

static void print_behaviours(const char *side, const struct analysis_plan *a, const struct behaviour *all)
{
	printf("%-10s", side);
	for (size_t i = 0; i < a->metric_count; i++) {
		const struct behaviour *b = &all[i];
		double scale = a->metrics[i].kind == METRIC_COUNTS  ? 100
			       : a->metrics[i].kind == METRIC_TIMES ? 1000
								    : 1;
		const char *unit = scale > 999 ? "ms" : scale > 99 ? "%" : "";

		printf("%s %s=%g%s", i ? "," : "", a->metrics[i].name, b->from * scale, unit);
		if (b->changes_ms != UINT64_MAX)
			printf("..%g%s@%" PRIu64 "s", b->to * scale, unit, b->changes_ms / 1000);
		if (b->spread > 0)
			printf("~%g", b->spread);
	}
	putchar('\n');
}

static void print_assumptions(const struct simulation *s)
{
	const struct rollout_plan *plan = s->plan;
	bool waits = plan->hook_count;

	if (s->recording)
		printf("%zu recorded analyses are played in their order, whatever the shares were then\n",
		       s->recorded_count);
	else
		printf("%g connections a second, seed %" PRIu64 "\n", s->rate, s->seed);
	if (!s->recording && plan->analysis.metric_count) {
		print_behaviours("stable:", &plan->analysis, s->stable);
		print_behaviours("candidate:", &plan->analysis, s->candidate);
	}
	for (size_t i = 0; i < plan->step_count; i++)
		waits |= plan->steps[i].kind == STEP_APPROVAL || plan->steps[i].kind == STEP_HEALTHY;
	if (waits)
		puts("assumed: hooks let everything pass, approval is given at once, all backends are healthy");
	putchar('\n');
}

static void print_end(const struct simulation *s, const struct simulation_end *end)
{
	char time[QUANTITY_SIZE], connections[QUANTITY_SIZE];

	printf("\n%s after %s: %" PRIu64 " analyses", name_of_end(end),
	       format_duration((double)end->ran_ms / 1e3, time), end->analyses);
	if (!s->recording)
		printf(", %s connections to the candidate", format_count(end->to_candidate, connections));
	putchar('\n');
	if (end->stop == SIMULATION_PAUSED)
		puts("here a person would have to say how it goes on");
	if (end->stop == SIMULATION_UNPLAYED)
		puts("there are no more recorded analyses; what comes next is not known");
	if (end->stop == SIMULATION_ENDLESS)
		puts("it would go on for ever: a progress_deadline would end it");
}

static json_t *end_json(const struct simulation *s, const struct simulation_end *end)
{
	return json_pack("{s:s, s:s, s:s, s:f, s:I, s:o}", "end", name_of_end(end), "state",
			 name_of_rollout_state(end->state), "cause", end->cause, "after_s", (double)end->ran_ms / 1e3,
			 "analyses", (json_int_t)end->analyses, "connections_to_candidate",
			 s->recording ? json_null() : json_integer((json_int_t)end->to_candidate));
}

/* Runs @s, which tells @t. */
static enum exit_code run_one(struct simulation *s, struct timeline *t, struct simulation_end *ret)
{
	struct refusal why;

	t->s = s;
	s->told = told;
	s->context = t;
	if (!simulation_run(s, ret, &why))
		return EXIT_DONE;
	complain("%s", why.text);
	return EXIT_REFUSED;
}

enum exit_code simulation_view_one(struct simulation *s, bool json)
{
	static const char *const headings[] = {">TIME", "STATE", ">STEP", ">SHARE", "WHAT", NULL};
	_cleanup_(listing_freep) struct listing *listing = json ? NULL : listing_open(headings);
	struct timeline timeline = {.listing = listing, .events = json ? json_array() : NULL};
	json_auto_t *body = NULL;
	struct simulation_end end;

	if (json) {
		body = json_pack("{s:s, s:s, s:f, s:I, s:o}", "service", s->service->name, "strategy",
				 name_of_strategy(s->plan->strategy), "rate", s->rate, "seed", (json_int_t)s->seed,
				 "timeline", timeline.events);
		if (!body)
			return complain_memory();
	}
	if (run_one(s, &timeline, &end) != EXIT_DONE)
		return EXIT_REFUSED;
	if (json) {
		json_object_set_new(body, "result", end_json(s, &end));
		print_json(body);
		return EXIT_DONE;
	}
	close_row(&timeline);
	print_assumptions(s);
	view_listing(listing);
	print_end(s, &end);
	return EXIT_DONE;
}

/* --- many --------------------------------------------------------------------------------------------------------- */

/* Rollouts that ended alike: what they took, and what the candidate got, each in its own order. */
struct bunch {
	const char *name;
	uint64_t *ms, *connections;
	size_t count;
};

/* By their ends; the first without a name is behind the last. */
struct ends {
	struct bunch bunch[12];
};

static void ends_clear(struct ends *ends)
{
	for (size_t i = 0; i < ARRAY_SIZE(ends->bunch); i++) {
		free(ends->bunch[i].ms);
		free(ends->bunch[i].connections);
	}
}

static int ends_add(struct ends *ends, const struct simulation_end *end)
{
	const char *name = name_of_end(end);
	struct bunch *b = ends->bunch;
	uint64_t *grown;

	while (b->name && strcmp(b->name, name))
		b++;
	b->name = name;
	grown = reallocarray(b->ms, b->count + 1, sizeof(*grown));
	if (!grown)
		return -1;
	b->ms = grown;
	grown = reallocarray(b->connections, b->count + 1, sizeof(*grown));
	if (!grown)
		return -1;
	b->connections = grown;
	b->ms[b->count] = end->ran_ms;
	b->connections[b->count++] = end->to_candidate;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Nearest rank; sorted. */
static uint64_t quantile(const uint64_t *numbers, size_t count, unsigned int percent)
{
	return numbers[(count * percent + 99) / 100 - 1];
}

static json_t *quantiles_json(const uint64_t *numbers, size_t count, double unit)
{
	return json_pack("{s:f, s:f}", "median", (double)quantile(numbers, count, 50) / unit, "p90",
			 (double)quantile(numbers, count, 90) / unit);
}

static void print_ends_json(const struct simulation *s, const struct ends *ends, uint64_t runs)
{
	json_auto_t *body = json_pack("{s:s, s:s, s:f, s:I, s:I, s:{}}", "service", s->service->name, "strategy",
				      name_of_strategy(s->plan->strategy), "rate", s->rate, "seed", (json_int_t)s->seed,
				      "runs", (json_int_t)runs, "ends");

	for (const struct bunch *b = ends->bunch; b->name; b++)
		json_object_set_new(json_object_get(body, "ends"), b->name,
				    json_pack("{s:I, s:o, s:o}", "runs", (json_int_t)b->count, "seconds",
					      quantiles_json(b->ms, b->count, 1000), "connections_to_candidate",
					      quantiles_json(b->connections, b->count, 1)));
	print_json(body);
}

static void print_ends(const struct simulation *s, const struct ends *ends, uint64_t runs)
{
	static const char *const headings[] = {
		"END", ">RUNS", ">OF ALL", ">TIME (MEDIAN)", ">P90", ">TO CANDIDATE (MEDIAN)", ">P90", NULL};
	_cleanup_(listing_freep) struct listing *listing = listing_open(headings);
	char text[QUANTITY_SIZE];

	for (const struct bunch *b = ends->bunch; b->name; b++) {
		listing_add(listing, "%s", b->name);
		listing_add(listing, "%zu", b->count);
		listing_add(listing, "%s", format_share((double)b->count / (double)runs, text));
		for (int percent = 50; percent <= 90; percent += 40)
			listing_add(listing, "%s",
				    format_duration((double)quantile(b->ms, b->count, percent) / 1e3, text));
		for (int percent = 50; percent <= 90; percent += 40)
			listing_add(listing, "%s", format_count(quantile(b->connections, b->count, percent), text));
	}
	print_assumptions(s);
	view_listing(listing);
}

enum exit_code simulation_view_many(struct simulation *s, uint64_t runs, bool json)
{
	_cleanup_(ends_clear) struct ends ends = {};
	struct simulation_end end;
	uint64_t seed = s->seed;
	struct refusal why;

	for (uint64_t i = 0; i < runs; i++, s->seed++) {
		if (simulation_run(s, &end, &why)) {
			complain("%s", why.text);
			return EXIT_REFUSED;
		}
		if (ends_add(&ends, &end))
			return complain_memory();
	}
	s->seed = seed;
	for (struct bunch *b = ends.bunch; b->name; b++) {
		qsort(b->ms, b->count, sizeof(*b->ms), compare_numbers);
		qsort(b->connections, b->count, sizeof(*b->connections), compare_numbers);
	}
	if (json)
		print_ends_json(s, &ends, runs);
	else
		print_ends(s, &ends, runs);
	return EXIT_DONE;
}
