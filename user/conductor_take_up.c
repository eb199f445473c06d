// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rollouts are taken up from the journal, when the daemon starts and when somebody asks, and left to it. */
#include <errno.h>
#include <string.h>

#include "conductor_parts.h"
#include "log.h"

#define JOURNAL_AGAIN_US 2000000U

static void take_text(char *text, size_t bytes, const json_t *object, const char *key)
{
	snprintf(text, bytes, "%s", json_string_value(json_object_get(object, key)) ?: "");
}

/* What the journal knows beside the record: when, by whom, and what its last analysis came to. Asked of the service's
 * newest, which it is, and not by its id, as all of its analyses would be read. */
void conducted_read_history(struct conducted *one)
{
	json_t *history = journal_history(one->conductor->journal, one->record.rollout.service, 0, 1, false);
	const json_t *line = json_array_get(json_object_get(history, "rollouts"), 0);
	const json_t *analyses = json_object_get(line, "analyses");

	take_text(one->by, sizeof(one->by), line, "by");
	take_text(one->began, sizeof(one->began), line, "began");
	take_text(one->ended, sizeof(one->ended), line, "ended");
	if (json_array_size(analyses))
		one->results_kept = json_incref(
			json_object_get(json_array_get(analyses, json_array_size(analyses) - 1), "metrics"));
	json_decref(history);
}

/* The interval that was running goes on. */
static void go_on(struct conducted *one)
{
	const struct rollout *r = &one->record.rollout;

	conducted_read_baseline(one);
	if (r->phase == PHASE_RUNNING && !r->in_force_ns)
		conducted_new_step(one);
	conducted_find_winner(one);
}

/* Nobody knows how it would go on, and while it is there no other can begin. */
static void give_up(struct conductor *c, const char *service)
{
	static const char cause[] = "what the journal has of it cannot be read; all stays as it is";
	int error = journal_give_up(c->journal, service, cause);
	size_t length = strlen(c->trouble);

	if (error == -ENOENT)
		return;
	if (error) {
		log_error("%s: its rollout cannot be read, nor ended in %s: %s", service, c->path, strerror(-error));
		return;
	}
	snprintf(c->trouble + length, sizeof(c->trouble) - length,
		 "%s%s: what %s had of its rollout could not be read; it is over (%s), and its weights have stayed",
		 length ? "; " : "", service, c->path, name_of_rollout_state(ROLLOUT_ABORTED));
	log_warning("%s", c->trouble);
}

/* 0; -ENOENT; -errno */
static int load(struct conductor *c, const char *service)
{
	_cleanup_(conducted_freep) struct conducted *one = calloc(1, sizeof(*one));
	int error;

	if (!one)
		return -ENOMEM;
	error = journal_newest(c->journal, service, &one->record);
	if (error == -EBADMSG)
		give_up(c, service);
	if (error)
		return error;
	one->conductor = c;
	one->facts.winner = -1;
	conducted_read_history(one);
	if (!rollout_is_over(one->record.rollout.state))
		go_on(one);
	error = conductor_take_up(c, one);
	if (!error)
		(void)TAKE_PTR(one);
	return error;
}

struct conducted *conductor_find(struct conductor *c, const char *service)
{
	for (int loaded = 0; loaded < 2; loaded++) {
		for (struct conducted *one = c->first; one; one = one->next)
			if (!strcmp(one->record.rollout.service, service))
				return one;
		if (!loaded && (!c->journal || load(c, service)))
			return NULL;
	}
	return NULL;
}

static void load_going_on(void *context, const char *service)
{
	struct conductor *c = context;
	int error = load(c, service);

	if (error)
		log_error("%s: its rollout cannot be taken up from %s: %s", service, c->path, strerror(-error));
}

static void on_untold(void *context, const char *where, const char *why)
{
	(void)context;
	log_warning("%s could not be told of a rollout: %s", where, why);
}

/* Of the host, or of a daemon that was here before, and not of the configuration: services do not wait for it. */
static bool may_pass(int error)
{
	return error == -ENOTSUP || error == -ENOSPC || error == -EDQUOT || error == -EROFS || error == -EIO ||
	       error == -EBUSY;
}

int conductor_has_journal(const struct conductor *c, struct refusal *why)
{
	return c->journal ? 0 : refuse(why, EIO, "no rollout is known, and none can begin: %s", c->trouble);
}

/* For as long as this daemon runs: whoever comes later has to know that rollouts were forgotten. */
static void note_trouble(struct conductor *c, int error, const struct refusal *why)
{
	bool damaged = !error && *why->text;

	snprintf(c->trouble, sizeof(c->trouble), "%s%s", why->text,
		 damaged ? "; rollouts that were going on are forgotten, and their weights have stayed" : "");
	if (*c->trouble)
		log_warning("%s", c->trouble);
}

int conductor_create(struct daemon *d, const char *path, struct conductor **ret, struct refusal *why)
{
	_cleanup_(conductor_destroyp) struct conductor *c = calloc(1, sizeof(*c));
	struct refusal aside = {};
	int error;

	if (!c)
		return refuse(why, ENOMEM, "out of memory");
	c->daemon = d;
	c->path = path;
	error = journal_open(path, &c->journal, &aside);
	if (error && !may_pass(error))
		return refuse(why, -error, "%s", aside.text);
	note_trouble(c, error, &aside);
	error = requests_create(d->event, &c->requests);
	if (error)
		return refuse(why, -error, "requests over HTTP cannot be set up: %s", strerror(-error));
	c->notifier = (struct notifier){.requests = c->requests, .failed = on_untold};
	error = c->journal ? journal_each_going_on(c->journal, load_going_on, c) : 0;
	if (error)
		return refuse(why, -error, "%s cannot be read: %s", path, strerror(-error));
	*ret = TAKE_PTR(c);
	return 0;
}

/* What goes on is put in force, as at a start. */
static int begin_late(struct conductor *c, struct refusal *why)
{
	struct daemon *d = c->daemon;
	struct model *model;
	int error;

	c->begun = false;
	error = journal_each_going_on(c->journal, load_going_on, c);
	if (!error)
		error = model_copy(d->splitter->model, &model);
	if (error)
		return refuse(why, -error, "%s", strerror(-error));
	conductor_adjust(c, model, NULL);
	error = daemon_change_decided(d, model, why);
	return conductor_begin(c) ?: error;
}

static int on_again(sd_event_source *source, uint64_t usec, void *context)
{
	struct conductor *c = context;
	struct refusal why = {};

	(void)usec;
	if (c->daemon->ending)
		return 0;
	if (journal_open(c->path, &c->journal, &why)) {
		snprintf(c->trouble, sizeof(c->trouble), "%s", why.text);
		sd_event_source_set_time_relative(source, JOURNAL_AGAIN_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	log_info("%s can be opened now", c->path);
	note_trouble(c, 0, &why);
	if (begin_late(c, &why))
		log_error("rollouts cannot go on: %s", why.text);
	return 0;
}

int conductor_begin(struct conductor *c)
{
	const struct model *model = c->daemon->splitter->model;

	if (!c->journal)
		return sd_event_add_time_relative(c->daemon->event, &c->again, CLOCK_MONOTONIC, JOURNAL_AGAIN_US, 0,
						  on_again, c);
	for (size_t i = 0; i < model->service_count; i++)
		conductor_find(c, model->services[i].name);
	c->begun = true;
	for (struct conducted *one = c->first; one; one = one->next) {
		struct rollout *r = &one->record.rollout;
		int error;

		if (rollout_is_over(r->state))
			continue;
		/* Time in which nobody was there does not count; and a data path that is new counts from zero. */
		r->now_ns = now_ns();
		if (!datapath_adopted(c->daemon->datapath))
			one->baseline.there = false;
		conducted_note_opened(one);
		error = conducted_set_timer(one);
		if (error)
			return error;
		log_info("%s: rollout %llu goes on: %s, step %u", r->service, (unsigned long long)r->id,
			 name_of_rollout_state(r->state), r->step + 1);
	}
	return 0;
}

void conductor_destroy(struct conductor *c)
{
	if (!c)
		return;
	while (c->first) {
		struct conducted *one = c->first;

		c->first = one->next;
		if (!rollout_is_over(one->record.rollout.state))
			journal_keep(c->journal, &one->record);
		conducted_free(one);
	}
	sd_event_source_disable_unref(c->again);
	requests_destroy(c->requests);
	journal_close(c->journal);
	free(c);
}

void conductor_warn(const struct conductor *c, void (*warn)(void *context, const char *text), void *context)
{
	char text[sizeof(c->first->trouble) + 128];

	if (*c->trouble)
		warn(context, c->trouble);
	if (c->journal && journal_has_moved(c->journal)) {
		snprintf(text, sizeof(text),
			 "%.400s was deleted or moved while headgated runs: put it back, or let rollouts end and "
			 "restart headgated; what they decide is lost with this daemon",
			 c->path);
		warn(context, text);
	}
	for (const struct conducted *one = c->first; one; one = one->next) {
		if (!*one->trouble)
			continue;
		snprintf(text, sizeof(text), "%s: its rollout: %s", one->record.rollout.service, one->trouble);
		warn(context, text);
	}
}
