// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What people have done with rollouts. */
#include <errno.h>
#include <string.h>

#include "conductor_parts.h"
#include "log.h"

static const char *const command_words[] = {
	[COMMAND_PAUSE] = "pause",
	[COMMAND_RESUME] = "resume",
	[COMMAND_APPROVE] = "approve",
	[COMMAND_PROMOTE] = "promote",
	[COMMAND_PROMOTE_FULL] = "promote --full",
	[COMMAND_ROLLBACK] = "rollback",
	[COMMAND_ABORT] = "abort",
};

/* Whatever becomes of it is in the audit. Return: @error. */
static int audited(struct conductor *c, const char *service, const struct actor *by, const char *what, int error,
		   const struct refusal *why)
{
	int failed = c->journal ? journal_audit(c->journal, service, by, what, error ? why->text : NULL) : 0;

	if (failed)
		log_warning("%s: uid %u: %s is not in the audit, as the journal %s cannot be written: %s", service,
			    by->uid, what, c->path, strerror(-failed));
	return error;
}

/* What one that failed has left frozen, and nobody has changed since, is not what the next one goes back to. */
static void take_before(const struct conducted *last, const struct service_model *s, struct rollout *r)
{
	const struct rollout *old = &last->record.rollout;

	if (!old->frozen || !conducted_in_force(last))
		return;
	for (size_t i = 0; i < old->before_count; i++)
		if (service_find_variant(s, old->before[i].variant) < 0)
			return;
	memcpy(r->before, old->before, sizeof(r->before));
	r->before_count = old->before_count;
	r->shadow_before = old->shadow_before;
	r->sample_before = old->sample_before;
}

/* Begins a rollout whose plan is in @one, which is taken over on success. */
static int begin(struct conductor *c, struct service_model *s, struct conducted *one, const struct actor *by,
		 struct refusal *why)
{
	const struct conducted *last = conductor_find(c, s->name);
	struct rollout_record *record = &one->record;
	int error = conductor_allows(c, s->name, why);

	if (!error)
		error = rollout_begin(&record->plan, s, now_ns(), &record->rollout, why);
	if (error)
		return error;
	if (last)
		take_before(last, s, &record->rollout);
	error = journal_begin(c->journal, record, by);
	if (error)
		return refuse(why, -error, "the journal %s cannot be written: %s; nothing was changed", c->path,
			      strerror(-error));
	one->conductor = c;
	one->facts.winner = -1;
	conducted_read_history(one);
	log_info("%s: rollout %llu: %s", s->name, (unsigned long long)record->rollout.id, record->rollout.cause);
	error = conductor_take_up(c, one);
	if (error)
		return refuse(why, -error,
			      "the rollout is in the journal, and goes on when the daemon is restarted: %s",
			      strerror(-error));
	conducted_advance(one, &(struct actor){.daemon = true}, NULL);
	return 0;
}

static int begin_plan(struct conductor *c, const char *service, const struct rollout_plan *plan, const struct actor *by,
		      struct refusal *why)
{
	_cleanup_(conducted_freep) struct conducted *one = calloc(1, sizeof(*one));
	struct service_model *s = model_find_service(c->daemon->splitter->model, service);
	int error = conductor_has_journal(c, why);

	if (error)
		return error;
	if (!one)
		return refuse(why, ENOMEM, "out of memory");
	if (!s)
		return refuse(why, ENOENT, "no service '%.64s'", service);
	if (!plan && !s->rollout)
		return refuse(why, ENOENT, "%s has no `rollout` in its configuration: add one, or say --plan FILE",
			      service);
	one->record.plan = plan ? *plan : *s->rollout;
	if (!plan)
		error = journal_apply_roles(c->journal, service, &one->record.plan);
	if (error)
		return refuse(why, -error, "the journal %s cannot be read: %s", c->path, strerror(-error));
	error = begin(c, s, one, by, why);
	if (!error)
		(void)TAKE_PTR(one);
	return error;
}

int conductor_start(struct conductor *c, const char *service, const struct rollout_plan *plan, const struct actor *by,
		    struct refusal *why)
{
	return audited(c, service, by, "start", begin_plan(c, service, plan, by, why), why);
}

static int command(struct conductor *c, const char *service, enum rollout_command command, const struct actor *by,
		   struct refusal *why)
{
	struct conducted *one = conductor_going_on(c, service);
	int error = conductor_has_journal(c, why);

	if (error)
		return error;
	if (!one)
		return refuse(why, ENOENT, "no rollout of %s is going on; `headgate rollout start %s` begins one",
			      service, service);
	one->facts.command = command;
	snprintf(one->facts.who, sizeof(one->facts.who), "uid %u", by->uid);
	error = conducted_advance(one, by, why);
	sd_event_source_set_time(one->timer, 0);
	return error;
}

int conductor_command(struct conductor *c, const char *service, enum rollout_command what, const struct actor *by,
		      struct refusal *why)
{
	return audited(c, service, by, command_words[what], command(c, service, what, by, why), why);
}

static int retry(struct conductor *c, const char *service, const struct actor *by, struct refusal *why)
{
	const struct conducted *last = conductor_find(c, service);
	int error = conductor_has_journal(c, why);

	if (error)
		return error;
	if (!last)
		return refuse(why, ENOENT, "%s has had no rollout; `headgate rollout start %s` begins one", service,
			      service);
	if (last->record.rollout.state == ROLLOUT_SUCCEEDED)
		return refuse(why, EBUSY,
			      "the last rollout of %s succeeded, and there is nothing to try again: `headgate rollout "
			      "start %s` begins another, `headgate rollout undo %s` takes it back",
			      service, service, service);
	return begin_plan(c, service, &last->record.plan, by, why);
}

int conductor_retry(struct conductor *c, const char *service, const struct actor *by, struct refusal *why)
{
	return audited(c, service, by, "retry", retry(c, service, by, why), why);
}

/* --- undo --- */

/* Weights as they were; a variant that is gone can only be left out if it had none. */
static int set_weights_before(struct service_model *s, const struct rollout *r, struct refusal *why)
{
	struct weight weights[VARIANTS_MAX];
	bool same = true;

	for (size_t i = 0; i < r->before_count; i++)
		if (r->before[i].weight && service_find_variant(s, r->before[i].variant) < 0)
			return refuse(why, ENOENT, "%s has no variant %s any more, which had weight before", s->name,
				      r->before[i].variant);
	for (size_t v = 0; v < s->variant_count; v++) {
		memcpy(weights[v].variant, s->variants[v].name, NAME_SIZE);
		weights[v].weight = 0;
		for (size_t i = 0; i < r->before_count; i++)
			if (!strcmp(r->before[i].variant, s->variants[v].name))
				weights[v].weight = r->before[i].weight;
		same &= weights[v].weight == s->variants[v].weight;
	}
	if (same)
		return refuse(why, EBUSY, "the weights of %s are as before its last rollout already", s->name);
	return service_set_weights(s, weights, s->variant_count, why);
}

/* Who was stable is it again; the configuration's plan, and no other, has roles. @ret_before: who has them now. */
static int undo_roles(const struct conducted *one, struct rollout_plan *ret_before, struct refusal *why)
{
	struct conductor *c = one->conductor;
	const struct rollout_plan *plan = &one->record.plan;
	const char *service = one->record.rollout.service;
	const struct service_model *s = model_find_service(c->daemon->configured, service);
	int error = 0;

	if (s && s->rollout) {
		*ret_before = *s->rollout;
		error = journal_apply_roles(c->journal, service, ret_before);
	}
	if (!error)
		error = conducted_set_roles(one, plan->stable, plan->candidate);
	return error ? refuse(why, -error, "the journal %s cannot be written: %s; nothing was changed", c->path,
			      strerror(-error))
		     : 0;
}

/* Weights are as they were, and so are the roles to be. Return: @error. */
static int redo_roles(const struct conducted *one, const struct rollout_plan *before, int error)
{
	int failed = conducted_set_roles(one, before->stable, before->candidate);

	if (failed)
		log_error("%s: the roles for its next rollout are undone, although its weights are not, as the journal "
			  "%s cannot be written: %s",
			  one->record.rollout.service, one->conductor->path, strerror(-failed));
	return error;
}

static int undo(struct conductor *c, const char *service, struct refusal *why)
{
	struct conducted *one = conductor_find(c, service);
	_cleanup_(model_freep) struct model *copy = NULL;
	_cleanup_free_ struct rollout_plan *before = calloc(1, sizeof(*before));
	struct service_model *s;
	int error = conductor_has_journal(c, why);

	if (error)
		return error;
	if (!one)
		return refuse(why, ENOENT, "%s has had no rollout", service);
	error = conductor_allows(c, service, why);
	if (error)
		return error;
	if (one->record.rollout.state != ROLLOUT_SUCCEEDED)
		return refuse(why, EBUSY, "the last rollout of %s did not succeed, and has been taken back already",
			      service);
	error = model_copy(c->daemon->splitter->model, &copy);
	if (error || !before)
		return refuse(why, ENOMEM, "out of memory");
	s = model_find_service(copy, service);
	s->rollback = true;
	error = set_weights_before(s, &one->record.rollout, why);
	if (!error)
		error = undo_roles(one, before, why);
	if (error)
		return error;
	error = daemon_change(c->daemon, TAKE_PTR(copy), NULL, why);
	return error ? redo_roles(one, before, error) : 0;
}

int conductor_undo(struct conductor *c, const char *service, const struct actor *by, struct refusal *why)
{
	return audited(c, service, by, "undo", undo(c, service, why), why);
}
