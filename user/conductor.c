// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The life of rollouts: moved on as time passes, over. */
#include "conductor.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "conductor_parts.h"
#include "log.h"

#define ACCURACY_US 1000U
#define KEEP_EVERY_NS NS_PER_S
#define HOOKS_AGAIN_NS (2 * NS_PER_S)

static const struct actor daemon_itself = {.daemon = true};

void conducted_free(struct conducted *one)
{
	if (!one)
		return;
	inquiry_cancel(one->inquiry);
	hooking_cancel(one->hooking);
	sd_event_source_disable_unref(one->timer);
	json_decref(one->results_kept);
	free(one);
}

void conducted_trouble(struct conducted *one, const char *format, ...)
{
	char text[sizeof(one->trouble)] = "";
	va_list arguments;

	if (format) {
		va_start(arguments, format);
		vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
	}
	one->troubled = format;
	if (*text && strcmp(text, one->trouble))
		log_warning("%s: its rollout: %s", one->record.rollout.service, text);
	memcpy(one->trouble, text, sizeof(text));
}

/* --- transitions --- */

static void time_text(char text[32])
{
	time_t now = time(NULL);
	struct tm utc;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

static const char *actor_text(const struct actor *by, char text[32])
{
	if (by->daemon)
		snprintf(text, 32, "headgated");
	else
		snprintf(text, 32, "uid %u", by->uid);
	return text;
}

void conducted_tell_transition(struct conducted *one, const struct actor *by)
{
	const struct rollout *r = &one->record.rollout;
	char who[32];
	json_t *event;

	log_info("%s: rollout %llu: %s -> %s: %s", r->service, (unsigned long long)r->id,
		 name_of_rollout_state(one->before.state), name_of_rollout_state(r->state), r->cause);
	event = json_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:s, s:s}", "service", r->service, "rollout",
			  (json_int_t)r->id, "strategy", name_of_strategy(one->record.plan.strategy), "from",
			  name_of_rollout_state(one->before.state), "to", name_of_rollout_state(r->state), "step",
			  (int)r->step, "cause", r->cause, "by", actor_text(by, who));
	if (event)
		notify_all(&one->conductor->notifier, &one->record.plan, event);
	json_decref(event);
	if (rollout_is_over(r->state))
		time_text(one->ended);
}

int conducted_set_roles(const struct conducted *one, const char *stable, const char *candidate)
{
	const struct rollout_plan *plan = &one->record.plan, *file;
	const struct service_model *s =
		model_find_service(one->conductor->daemon->configured, one->record.rollout.service);

	file = s ? s->rollout : NULL;
	if (!file || (plan->strategy != STRATEGY_CANARY && plan->strategy != STRATEGY_BLUE_GREEN))
		return 0;
	if ((strcmp(file->stable, plan->stable) || strcmp(file->candidate, plan->candidate)) &&
	    (strcmp(file->stable, plan->candidate) || strcmp(file->candidate, plan->stable)))
		return 0;
	return journal_set_roles(one->conductor->journal, s->name, file, stable, candidate);
}

static void let_hooks_go(struct conducted *one)
{
	hooking_cancel(one->hooking);
	one->hooking = NULL;
	one->hooks_again_ns = 0;
	one->facts.hook = HOOK_NONE;
}

/* The way back, that was begun without being in the journal: it is one->before. 0 or -errno. */
static int write_late(struct conducted *one)
{
	struct rollout now = one->record.rollout;
	int error;

	if (!one->late)
		return 0;
	one->record.rollout = one->before;
	error = journal_transition(one->conductor->journal, &one->record, one->late_from, one->before.step,
				   &one->late_by);
	one->record.rollout = now;
	one->late = error;
	return error;
}

/*
 * What cannot be journalled is not done, but for the way back: a candidate that does harm does not keep its traffic for
 * a full disk. A daemon that is killed before it could be written finds the rollout a little further back.
 */
static int write_transition(struct conducted *one, const struct actor *by, struct refusal *why)
{
	const struct rollout_plan *plan = &one->record.plan;
	int error = write_late(one);

	if (!error && one->before.state == ROLLOUT_PROMOTING && one->record.rollout.state == ROLLOUT_SUCCEEDED)
		error = conducted_set_roles(one, plan->candidate, plan->stable);
	if (!error)
		error = journal_transition(one->conductor->journal, &one->record, one->before.state, one->before.step,
					   by);
	if (!error)
		return 0;
	if (one->record.rollout.state == ROLLOUT_ROLLING_BACK) {
		one->late = true;
		one->late_from = one->before.state;
		one->late_by = *by;
		conducted_trouble(one, "it goes back, although the journal %s cannot be written: %s",
				  one->conductor->path, strerror(-error));
		return 0;
	}
	one->record.rollout = one->before;
	conducted_trouble(one, "it cannot go on, as the journal %s cannot be written: %s; trying again",
			  one->conductor->path, strerror(-error));
	return refuse(why, -error, "the journal %s cannot be written: %s; nothing was changed", one->conductor->path,
		      strerror(-error));
}

/* A transition was decided: what follows from it. */
static void enter(struct conducted *one, const struct actor *by)
{
	const struct rollout *r = &one->record.rollout;

	one->facts.command = COMMAND_NONE;
	one->facts.verdict = JUDGED_NOTHING;
	if (r->phase != one->before.phase || r->step != one->before.step || rollout_is_over(r->state))
		let_hooks_go(one);
	if (r->phase == PHASE_RUNNING && !r->in_force_ns)
		conducted_new_step(one);
	conducted_bring_into_force(one);
	if (!r->in_force_ns)
		conducted_note_opened(one);
	conducted_tell_transition(one, by);
	if (rollout_is_over(r->state))
		conducted_forget_interval(one);
}

static void gather_facts(struct conducted *one)
{
	struct rollout_facts *facts = &one->facts;

	facts->now_ns = now_ns();
	facts->in_force = conducted_in_force(one);
	facts->healthy = !conducted_lacks_health(one) && conducted_has_reference(one);
	facts->arm_samples = conducted_fewest_opened(one);
}

int conducted_advance(struct conducted *one, const struct actor *by, struct refusal *why)
{
	struct rollout *r = &one->record.rollout;
	int moved, done = 0;

	do {
		gather_facts(one);
		one->before = *r;
		moved = rollout_advance(&one->record.plan, &one->facts, r, why);
		if (moved > 0 && write_transition(one, by, why)) {
			one->facts.command = COMMAND_NONE;
			return done ? 0 : -EIO; /* what was asked for is done; what follows from it is tried again */
		}
		done += moved > 0;
		if (moved > 0)
			enter(one, by);
		by = &daemon_itself;
	} while (moved > 0 && !rollout_is_over(r->state));
	one->facts.command = COMMAND_NONE;
	if (moved < 0)
		return moved;
	one->facts.verdict = JUDGED_NOTHING;
	one->facts.hook = HOOK_NONE;
	return 0;
}

/* --- hooks --- */

static void on_hooked(void *context, enum hook_answer answer, const char *why)
{
	struct conducted *one = context;

	one->hooking = NULL;
	one->facts.hook = answer;
	snprintf(one->facts.hook_why, sizeof(one->facts.hook_why), "%s", why);
	if (answer == HOOK_HOLD)
		one->hooks_again_ns = now_ns() + HOOKS_AGAIN_NS;
	sd_event_source_set_time(one->timer, 0);
}

static json_t *hook_body(const struct conducted *one)
{
	const struct rollout_plan *plan = &one->record.plan;
	const struct rollout *r = &one->record.rollout;
	const struct step_plan *step = &plan->steps[r->step];
	double share = step->kind == STEP_SWITCH ? 100 : step->share / 100.0;

	return json_pack("{s:s, s:I, s:s, s:s, s:i, s:s, s:s, s:f}", "service", r->service, "rollout",
			 (json_int_t)r->id, "strategy", name_of_strategy(plan->strategy), "state",
			 name_of_rollout_state(r->state), "step", (int)r->step, "kind", name_of_step(step->kind),
			 "phase", name_of_step_phase(r->phase), "share", share);
}

static void ask_hooks(struct conducted *one)
{
	bool after;
	int error;
	json_t *body;

	if (one->hooking || one->facts.hook != HOOK_NONE || now_ns() < one->hooks_again_ns ||
	    !rollout_asks_hooks(&one->record.plan, &one->record.rollout, &after))
		return;
	body = hook_body(one);
	error = body ? hooking_start(one->conductor->requests, &one->record.plan, after, body, on_hooked, one,
				     &one->hooking)
		     : -ENOMEM;
	json_decref(body);
	if (error) {
		one->hooks_again_ns = now_ns() + HOOKS_AGAIN_NS;
		conducted_trouble(one, "its hooks cannot be asked: %s; trying again", strerror(-error));
	}
}

/* --- time --- */

static void keep(struct conducted *one)
{
	int error;

	if (now_ns() < one->kept_ns + KEEP_EVERY_NS)
		return;
	one->kept_ns = now_ns();
	error = journal_keep(one->conductor->journal, &one->record);
	if (error)
		conducted_trouble(one, "its clocks are not kept, as the journal %s cannot be written: %s; trying again",
				  one->conductor->path, strerror(-error));
}

static int schedule(struct conducted *one)
{
	const struct rollout *r = &one->record.rollout;
	uint64_t next_ns, left_ms;

	if (rollout_is_over(r->state))
		return sd_event_source_set_enabled(one->timer, SD_EVENT_OFF);
	next_ns = rollout_next_ns(&one->record.plan, r);
	left_ms = conducted_interval_left_ms(one);
	if (left_ms < NS_PER_S / NS_PER_MS && r->now_ns + left_ms * NS_PER_MS < next_ns)
		next_ns = r->now_ns + left_ms * NS_PER_MS;
	if (one->hooks_again_ns > r->now_ns && one->hooks_again_ns < next_ns)
		next_ns = one->hooks_again_ns;
	sd_event_source_set_time(one->timer, next_ns / 1000 + 1);
	return sd_event_source_set_enabled(one->timer, SD_EVENT_ONESHOT);
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
	struct conducted *one = context;
	int error;

	(void)source;
	(void)usec;
	if (one->conductor->daemon->ending || rollout_is_over(one->record.rollout.state))
		return 0;
	one->troubled = false;
	conducted_bring_into_force(one);
	error = conducted_advance(one, &daemon_itself, NULL);
	if (!rollout_is_over(one->record.rollout.state)) {
		ask_hooks(one);
		conducted_measure(one);
		keep(one);
	}
	if (!error && !one->troubled)
		conducted_trouble(one, NULL);
	return schedule(one);
}

int conducted_set_timer(struct conducted *one)
{
	int error = sd_event_add_time(one->conductor->daemon->event, &one->timer, CLOCK_MONOTONIC, 0, ACCURACY_US,
				      on_time, one);

	return error < 0 ? error : 0;
}

/* --- all of them --- */

struct conducted *conductor_going_on(struct conductor *c, const char *service)
{
	for (struct conducted *one = c->first; one; one = one->next)
		if (!strcmp(one->record.rollout.service, service))
			return rollout_is_over(one->record.rollout.state) ? NULL : one;
	return NULL;
}

int conductor_take_up(struct conductor *c, struct conducted *one)
{
	const char *service = one->record.rollout.service;
	struct conducted **place = &c->first, *old;

	one->conductor = c;
	conducted_know_nothing(one);
	if (c->begun && !rollout_is_over(one->record.rollout.state)) {
		int error = conducted_set_timer(one);

		if (error)
			return error;
	}
	while (*place && strcmp((*place)->record.rollout.service, service))
		place = &(*place)->next;
	old = *place;
	one->next = old ? old->next : NULL;
	*place = one;
	conducted_free(old);
	return 0;
}
