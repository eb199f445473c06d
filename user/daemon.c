// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "drain.h"
#include "expiry.h"
#include "interfaces.h"
#include "log.h"
#include "model_diff.h"
#include "state.h"
#include "text.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint32_t now_s(void)
{
	return now_ns() / 1000000000;
}

uint32_t now_tick(void)
{
	return tick_of_ns(now_ns());
}

int64_t wall_clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

#define NEIGHBOURS_WAIT_NS 500000000ULL

/* --- the host --- */

static void probe(void *context, uint32_t ifindex, const struct address *neighbour)
{
	struct daemon *d = context;
	char text[ADDRESS_TEXT_SIZE];

	log_debug("asking for %s on interface %u", address_format(neighbour, text), ifindex);
	netlink_probe(d->netlink, ifindex, neighbour);
}

static int look_at_host(struct daemon *d)
{
	struct routes *fresh;
	int error = netlink_snapshot(d->netlink, &fresh);

	if (error)
		return error;
	routes_free(d->routes);
	d->routes = fresh;
	return 0;
}

void daemon_refresh(struct daemon *d)
{
	int error = look_at_host(d);

	if (error) {
		log_warning("cannot read links and routes: %s", strerror(-error));
		return;
	}
	interfaces_refresh(d);
	interfaces_mirror(d, d->splitter->model);
	error = splitter_refresh_hops(d->splitter, d->routes, probe, d);
	if (error)
		log_warning("cannot write next hops: %s", strerror(-error));
}

/* --- changes --- */

int daemon_change(struct daemon *d, struct model *model, size_t *ret_moved, struct refusal *why)
{
	int error = state_save(d->options.state, d->configured, model);

	if (error) {
		model_free(model);
		return refuse(why, -error, "the decision cannot be remembered in %s: %s; nothing was changed",
			      d->options.state, strerror(-error));
	}
	interfaces_mirror(d, model);
	error = splitter_apply(d->splitter, model, d->routes, now_ns(), ret_moved, why);
	if (error) {
		model_free(model);
		state_save(d->options.state, d->configured, d->splitter->model);
		return error;
	}
	d->unsaved = false;
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	return 0;
}

int daemon_remember(struct daemon *d)
{
	int error = state_save(d->options.state, d->configured, d->splitter->model);

	if (error && !d->unsaved)
		log_warning("%s cannot be written: %s", d->options.state, strerror(-error));
	d->unsaved = error;
	return error;
}

int daemon_change_decided(struct daemon *d, struct model *model, struct refusal *why)
{
	int error = splitter_apply(d->splitter, model, d->routes, now_ns(), NULL, why);

	if (error) {
		model_free(model);
		return error;
	}
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	error = daemon_remember(d);
	return error ? refuse(why, -error, "%s cannot be written: %s", d->options.state, strerror(-error)) : 0;
}

int daemon_pause_shadow(struct daemon *d, const char *service, const char *reason)
{
	_cleanup_(model_freep) struct model *copy = NULL;
	struct service_model *s;
	struct refusal why = {};
	int error = model_copy(d->splitter->model, &copy);

	if (error)
		return error;
	s = model_find_service(copy, service);
	error = s ? service_pause_shadow(s, reason, &why) : -ENOENT;
	if (!error)
		error = daemon_change(d, TAKE_PTR(copy), NULL, &why);
	if (error)
		log_error("%s: its shadow is not paused, although %s: %s", service, reason,
			  why.text[0] ? why.text : strerror(-error));
	else
		log_warning("%s: its shadow is paused: %s; `headgate shadow %s on` resumes it", service, reason,
			    service);
	return error;
}

static bool any_has_expired(const struct model *m, int64_t now_s)
{
	for (size_t i = 0; i < m->service_count; i++)
		for (size_t c = 0; c < m->services[i].cohort_count; c++)
			if (cohort_has_expired(&m->services[i].cohorts[c], now_s))
				return true;
	return false;
}

/* Moves what has expired at @now_s out of @s; each is logged when @log. */
static void expire_cohorts(struct service_model *s, int64_t now_s, bool log)
{
	char source[ADDRESS_TEXT_SIZE], instant[INSTANT_SIZE];

	for (size_t i = s->cohort_count; i-- > 0;) {
		const struct cohort_model c = s->cohorts[i];

		if (!cohort_has_expired(&c, now_s))
			continue;
		if (log)
			log_info("%s: cohort %s to %s has expired at %s and is removed; owner: %s; note: %s", s->name,
				 prefix_format(&c.source, source), c.variant, text_of_instant(c.expires_s, instant),
				 c.owner[0] ? c.owner : "-", c.note[0] ? c.note : "-");
		service_remove_cohort(s, &c.source, NULL);
	}
}

void daemon_expire_cohorts(struct daemon *d)
{
	_cleanup_(model_freep) struct model *copy = NULL;
	struct refusal why = {};
	int64_t now_s = wall_clock_s();
	int error;

	if (!any_has_expired(d->splitter->model, now_s))
		return;
	error = model_copy(d->splitter->model, &copy);
	for (size_t i = 0; !error && i < copy->service_count; i++)
		expire_cohorts(&copy->services[i], now_s, !d->overdue);
	if (!error)
		error = daemon_change(d, TAKE_PTR(copy), NULL, &why);
	if (error && !d->overdue)
		log_error("cohorts that have expired are not removed: %s; trying again",
			  why.text[0] ? why.text : strerror(-error));
	d->overdue = error;
}

void daemon_rotate(struct daemon *d)
{
	struct refusal why = {};
	struct model *copy;
	int error = model_copy(d->splitter->model, &copy);

	if (!error)
		error = splitter_apply(d->splitter, copy, d->routes, now_ns(), NULL, &why);
	if (!error)
		return;
	model_free(copy);
	log_error("the change of health is not in force: %s; trying again", why.text);
}

void daemon_rotate_stale(struct daemon *d)
{
	for (uint32_t id = 1; id < datapath_limits(d->datapath)->services; id++)
		if (d->splitter->services[id].use == ID_USED && d->splitter->services[id].stale)
			sd_event_source_set_enabled(d->rotate, SD_EVENT_ONESHOT);
}

static int on_rotate(sd_event_source *source, void *context)
{
	struct daemon *d = context;

	(void)source;
	if (!d->ending)
		daemon_rotate(d);
	return 0;
}

/* Health has changed: once the loop is done with what came together, the tables follow. */
static void rotate_soon(void *context)
{
	struct daemon *d = context;

	sd_event_source_set_enabled(d->rotate, SD_EVENT_ONESHOT);
}

static void pause_shadow(void *context, const char *service, const char *reason)
{
	daemon_pause_shadow(context, service, reason);
}

static int start_patrol(struct daemon *d)
{
	int error = patrol_create(d->event, d->splitter, rotate_soon, d, &d->patrol);

	if (!error)
		error = rates_create(datapath_limits(d->datapath)->backends, &d->rates);
	if (!error)
		error = shadow_sweep_create(d->splitter, now_ns(), pause_shadow, d, &d->shadow_sweep);
	if (!error)
		error = sd_event_add_defer(d->event, &d->rotate, on_rotate, d);
	if (error < 0)
		return error;
	sd_event_source_set_enabled(d->rotate, SD_EVENT_OFF);
	return 0;
}

/* What is to be in force by the file and by what was decided; @ret_kept: lines for people. */
static int read_wanted(struct daemon *d, struct problems *problems, struct model **ret_configured,
		       struct model **ret_wanted, char **ret_kept, struct refusal *why)
{
	_cleanup_(model_freep) struct model *configured = NULL;
	struct state_notes notes = {};
	int error = config_load(d->options.config, problems, &configured);

	if (error)
		return refuse(why, -error, "the configuration has %zu mistake%s; nothing was changed", problems->count,
			      problems->count == 1 ? "" : "s");
	error = interfaces_check(d, configured, why);
	if (error)
		return error;
	error = state_merge(d->options.state, configured, wall_clock_s(), &notes, ret_wanted);
	if (error)
		return refuse(why, -error, "%s cannot be read: %s", d->options.state, strerror(-error));
	error = conductor_adjust(d->conductor, *ret_wanted, why);
	if (error) {
		model_free(*ret_wanted);
		state_notes_clear(&notes);
		return error;
	}
	*ret_kept = notes.text;
	*ret_configured = TAKE_PTR(configured);
	return 0;
}

/* Has the kernel ask for a neighbour that it does not know. True when it is so. */
static bool ask_for_neighbour(struct daemon *d, const struct address *backend)
{
	struct resolved to;

	if (routes_resolve(d->routes, backend, &to) != RESOLUTION_NO_NEIGHBOUR)
		return false;
	probe(d, to.hop.ifindex, &to.neighbour);
	return true;
}

/* The same for all backends, shadows included. */
static bool ask_for_neighbours(struct daemon *d, const struct model *model)
{
	bool any = false;

	for (size_t i = 0; i < model->service_count; i++) {
		const struct service_model *s = &model->services[i];

		for (size_t v = 0; v < s->variant_count; v++)
			for (size_t b = 0; b < s->variants[v].backend_count; b++)
				any |= ask_for_neighbour(d, &s->variants[v].backends[b].endpoint.address);
		for (size_t b = 0; b < s->shadow.backend_count; b++)
			any |= ask_for_neighbour(d, &s->shadow.backends[b].address);
	}
	return any;
}

/* Before anybody is sent to a new backend its MAC should be known; one that does not answer is not waited for long. */
static void wait_for_neighbours(struct daemon *d, const struct model *model)
{
	uint64_t until_ns = now_ns() + NEIGHBOURS_WAIT_NS;

	while (ask_for_neighbours(d, model) && now_ns() < until_ns) {
		usleep(10000);
		if (netlink_drain(d->netlink) < 0 || look_at_host(d))
			return;
	}
}

static void discard(struct model *configured, struct model *wanted)
{
	model_free(configured);
	model_free(wanted);
}

static void configure_replay(struct daemon *d)
{
	const struct model *m = d->splitter->model;

	for (size_t i = 0; i < m->service_count; i++) {
		const struct shadow_model *shadow = &m->services[i].shadow;
		const struct replay_settings settings = {
			.memory_bytes = shadow->memory_bytes,
			.connection_memory_bytes = shadow->connection_memory_bytes,
			.linger_ns = shadow->linger_s * 1000000000ULL,
		};

		if (shadow->present)
			replay_configure(d->replay, splitter_service_id(d->splitter, &m->services[i]), &settings);
	}
}

static int apply_wanted(struct daemon *d, struct model *configured, struct model *wanted, struct refusal *why)
{
	int error = splitter_apply(d->splitter, wanted, d->routes, now_ns(), NULL, why);

	if (error) {
		discard(configured, wanted);
		return error;
	}
	model_free(d->configured);
	d->configured = configured;
	configure_replay(d);
	/* The merge may have dropped decisions that the file has overtaken. */
	daemon_remember(d);
	return 0;
}

int daemon_reload(struct daemon *d, struct problems *problems, char **ret_changed, char **ret_kept, struct refusal *why)
{
	struct model *configured, *wanted;
	_cleanup_free_ char *changed = NULL, *kept = NULL;
	int error = look_at_host(d);

	if (error)
		return refuse(why, -error, "cannot read links and routes: %s", strerror(-error));
	error = read_wanted(d, problems, &configured, &wanted, &kept, why);
	if (error)
		return error;
	if (model_diff(d->splitter->model, wanted, &changed))
		changed = NULL;
	/* New interfaces first: a refusal must come before anything is in force, and what they lead to be reachable. */
	interfaces_may_send(d, wanted, d->splitter->model);
	wait_for_neighbours(d, wanted);
	error = interfaces_attach(d, wanted, why);
	if (!error) {
		interfaces_mirror(d, wanted);
		error = apply_wanted(d, configured, wanted, why);
	} else {
		discard(configured, wanted);
	}
	if (error)
		interfaces_attach(d, d->splitter->model, NULL); /* what was attached otherwise goes back */
	interfaces_may_send(d, d->splitter->model, NULL);
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	interfaces_detach_others(d, d->splitter->model);
	interfaces_mirror(d, d->splitter->model);
	if (error)
		return error;
	*ret_changed = TAKE_PTR(changed);
	*ret_kept = TAKE_PTR(kept);
	return 0;
}

int daemon_detach(struct daemon *d)
{
	int error = datapath_remove(d->options.pins);

	d->ending = !error;
	return error;
}

/* --- start and stop --- */

static int start_datapath(struct daemon *d, const struct model *wanted, struct refusal *why)
{
	int error = datapath_open(d->options.pins, &wanted->limits, &d->datapath, why);

	if (error)
		return error;
	log_info("%s",
		 datapath_adopted(d->datapath) ? "adopted the data path that was running" : "loaded the data path");
	error = early_create(d->datapath, &d->early);
	if (error)
		return refuse(why, -error, "cannot read the ring buffer of fragments: %s", strerror(-error));
	error = replay_create(d->event, d->datapath, &d->replay);
	if (error)
		return refuse(why, -error, "cannot read the ring buffer of mirrored connections: %s", strerror(-error));
	error = splitter_create(d->datapath, &d->splitter);
	return error ? refuse(why, -error, "cannot take over what is pinned in %s: %s", d->options.pins,
			      strerror(-error))
		     : 0;
}

static int start(struct daemon *d, struct problems *problems, struct refusal *why)
{
	struct model *configured, *wanted;
	_cleanup_free_ char *kept = NULL;
	int error = netlink_open(&d->netlink);

	if (!error)
		error = look_at_host(d);
	if (error)
		return refuse(why, -error, "cannot read links and routes: %s", strerror(-error));
	error = conductor_create(d, d->options.journal, &d->conductor, why);
	if (error)
		return error;
	error = read_wanted(d, problems, &configured, &wanted, &kept, why);
	if (error)
		return error;
	log_lines(LOG_LEVEL_INFO, kept);
	error = start_datapath(d, wanted, why);
	if (error) {
		discard(configured, wanted);
		return error;
	}
	interfaces_may_send(d, wanted, NULL);
	wait_for_neighbours(d, wanted);
	error = apply_wanted(d, configured, wanted, why);
	if (error)
		return error;
	drain_adopt(d->splitter, now_ns());
	error = start_patrol(d);
	if (error)
		return refuse(why, -error, "health checks cannot be set up: %s", strerror(-error));
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	log_lines(LOG_LEVEL_WARNING, d->splitter->warnings);
	error = interfaces_attach(d, d->splitter->model, why);
	interfaces_detach_others(d, d->splitter->model);
	interfaces_mirror(d, d->splitter->model);
	if (error)
		return error;
	error = conductor_begin(d->conductor);
	return error ? refuse(why, -error, "rollouts cannot go on: %s", strerror(-error)) : 0;
}

int daemon_start(struct daemon *d)
{
	struct problems problems = {};
	struct refusal why = {};
	int error;

	d->started_ns = now_ns();
	error = start(d, &problems, &why);
	if (error) {
		log_lines(LOG_LEVEL_ERROR, problems.text);
		log_error("%s", why.text);
	}
	problems_clear(&problems);
	return error;
}

void daemon_stop(struct daemon *d)
{
	conductor_destroy(d->conductor);
	sd_event_source_unref(d->rotate);
	patrol_destroy(d->patrol);
	rates_destroy(d->rates);
	shadow_sweep_destroy(d->shadow_sweep);
	splitter_destroy(d->splitter);
	replay_destroy(d->replay);
	early_destroy(d->early);
	datapath_close(d->datapath);
	netlink_close(d->netlink);
	routes_free(d->routes);
	model_free(d->configured);
}
