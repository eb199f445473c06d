// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "drain.h"
#include "expiry.h"
#include "log.h"
#include "model_diff.h"
#include "names.h"
#include "state.h"

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

static int check_interfaces(struct daemon *d, const struct model *model, struct refusal *why)
{
	if (model->interface_count > ARRAY_SIZE(d->attached))
		return refuse(why, E2BIG, "more than %zu interfaces", ARRAY_SIZE(d->attached));
	for (size_t i = 0; i < model->interface_count; i++)
		if (!routes_link_by_name(d->routes, model->interfaces[i].name))
			return refuse(why, ENODEV,
				      "interface %s is not on this host; `ip -br link` lists those that are, and "
				      "`interfaces:` in %s is where it is named",
				      model->interfaces[i].name, d->options.config);
	return 0;
}

static void add_interfaces(const struct daemon *d, const struct model *model, uint32_t *ifindexes, size_t *count)
{
	for (size_t i = 0; i < model->interface_count && *count < ARRAY_SIZE(d->attached); i++) {
		const struct link_info *link = routes_link_by_name(d->routes, model->interfaces[i].name);

		if (link)
			ifindexes[(*count)++] = link->ifindex;
	}
}

/* The interfaces that may be sent on: those of @model, and of @also while both are in use. */
static void set_interfaces(struct daemon *d, const struct model *model, const struct model *also)
{
	uint32_t ifindexes[ARRAY_SIZE(d->attached)];
	size_t count = 0;

	add_interfaces(d, model, ifindexes, &count);
	if (also)
		add_interfaces(d, also, ifindexes, &count);
	splitter_set_interfaces(d->splitter, ifindexes, count);
}

static struct attached_interface *find_attached(struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->attached_count; i++)
		if (strcmp(d->attached[i].name, name) == 0)
			return &d->attached[i];
	return NULL;
}

/* Where a program runs, or is to run: an interface of the model that is missing or refuses has ifindex 0. */
static struct attached_interface *need_attached(struct daemon *d, const char *name)
{
	struct attached_interface *slot = find_attached(d, name);

	if (slot || d->attached_count == ARRAY_SIZE(d->attached))
		return slot;
	slot = &d->attached[d->attached_count++];
	*slot = (struct attached_interface){};
	memcpy(slot->name, name, strnlen(name, sizeof(slot->name) - 1));
	return slot;
}

static int attach_one(struct daemon *d, const struct interface_model *interface, struct refusal *why)
{
	const struct link_info *link = routes_link_by_name(d->routes, interface->name);
	struct attached_interface *slot = need_attached(d, interface->name);
	enum attach_mode mode;
	int error;

	if (!slot || !link) {
		if (slot)
			slot->ifindex = 0;
		return refuse(why, ENODEV, "interface %s is gone", interface->name);
	}
	error = datapath_attach(d->datapath, interface->name, link->ifindex, interface->attach, &mode, why);
	if (error) {
		slot->ifindex = 0;
		return error;
	}
	if (slot->ifindex != link->ifindex || slot->mode != mode)
		log_info("%s: attached, %s XDP", interface->name, name_of_attach(mode));
	slot->ifindex = link->ifindex;
	slot->mode = mode;
	return 0;
}

/* All that can be attached are, whatever becomes of one; the first error is returned. */
static int attach(struct daemon *d, const struct model *model, struct refusal *why)
{
	struct refusal another;
	int first = 0;

	for (size_t i = 0; i < model->interface_count; i++) {
		int error = attach_one(d, &model->interfaces[i], first ? &another : why);

		if (!first)
			first = error;
	}
	return first;
}

struct detach_context {
	struct daemon *daemon;
	const struct model *model;
};

static bool names_interface(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->interface_count; i++)
		if (strcmp(model->interfaces[i].name, name) == 0)
			return true;
	return false;
}

static void detach_unwanted(const char *interface, void *context)
{
	struct detach_context *c = context;

	if (names_interface(c->model, interface))
		return;
	if (datapath_detach(c->daemon->datapath, interface) == 0)
		log_info("%s: detached, as the configuration no longer names it", interface);
}

static void detach_all_but(struct daemon *d, const struct model *model)
{
	for (size_t i = d->attached_count; i-- > 0;)
		if (!names_interface(model, d->attached[i].name))
			d->attached[i] = d->attached[--d->attached_count];
	datapath_each_interface(d->options.pins, detach_unwanted,
				&(struct detach_context){.daemon = d, .model = model});
}

/* An interface that was made anew has another index, and no program; one that was missing may be there now. */
static void attach_what_changed(struct daemon *d)
{
	const struct model *model = d->splitter->model;
	struct refusal why;

	for (size_t i = 0; i < model->interface_count; i++) {
		const struct link_info *link = routes_link_by_name(d->routes, model->interfaces[i].name);
		const struct attached_interface *slot = find_attached(d, model->interfaces[i].name);

		if (!link || (slot && slot->ifindex == link->ifindex))
			continue;
		set_interfaces(d, model, NULL);
		if (attach_one(d, &model->interfaces[i], &why))
			log_error("%s", why.text);
	}
}

void daemon_refresh(struct daemon *d)
{
	int error = look_at_host(d);

	if (error) {
		log_warning("cannot read links and routes: %s", strerror(-error));
		return;
	}
	attach_what_changed(d);
	error = splitter_refresh_hops(d->splitter, d->routes, probe, d);
	if (error)
		log_warning("cannot write next hops: %s", strerror(-error));
}

/* --- changes --- */

int daemon_change(struct daemon *d, struct model *model, bool rollback, size_t *ret_moved, struct refusal *why)
{
	int error = state_save(d->options.state, d->configured, model);

	if (error) {
		model_free(model);
		return refuse(why, -error, "the decision cannot be remembered in %s: %s; nothing was changed",
			      d->options.state, strerror(-error));
	}
	error = splitter_apply(d->splitter, model, d->routes, now_ns(), rollback, ret_moved, why);
	if (error) {
		model_free(model);
		state_save(d->options.state, d->configured, d->splitter->model);
		return error;
	}
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	return 0;
}

void daemon_rotate(struct daemon *d)
{
	struct refusal why = {};
	struct model *copy;
	int error = model_copy(d->splitter->model, &copy);

	if (!error)
		error = splitter_apply(d->splitter, copy, d->routes, now_ns(), false, NULL, &why);
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

static int start_patrol(struct daemon *d)
{
	int error = patrol_create(d->event, d->splitter, rotate_soon, d, &d->patrol);

	if (!error)
		error = rates_create(datapath_limits(d->datapath)->backends, &d->rates);
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
	error = check_interfaces(d, configured, why);
	if (error)
		return error;
	error = state_merge(d->options.state, configured, &notes, ret_wanted);
	if (error)
		return refuse(why, -error, "%s cannot be read: %s", d->options.state, strerror(-error));
	*ret_kept = notes.text;
	*ret_configured = TAKE_PTR(configured);
	return 0;
}

/* Has the kernel ask for backends' neighbours that it does not know. True when there are any. */
static bool ask_for_neighbours(struct daemon *d, const struct model *model)
{
	struct resolved to;
	bool any = false;

	for (size_t i = 0; i < model->service_count; i++)
		for (size_t v = 0; v < model->services[i].variant_count; v++)
			for (size_t b = 0; b < model->services[i].variants[v].backend_count; b++) {
				const struct backend_model *backend = &model->services[i].variants[v].backends[b];

				if (routes_resolve(d->routes, &backend->endpoint.address, &to) !=
				    RESOLUTION_NO_NEIGHBOUR)
					continue;
				any = true;
				probe(d, to.hop.ifindex, &to.neighbour);
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

static int apply_wanted(struct daemon *d, struct model *configured, struct model *wanted, struct refusal *why)
{
	int error = splitter_apply(d->splitter, wanted, d->routes, now_ns(), false, NULL, why);

	if (error) {
		discard(configured, wanted);
		return error;
	}
	model_free(d->configured);
	d->configured = configured;
	/* The merge may have dropped decisions that the file has overtaken. */
	error = state_save(d->options.state, d->configured, d->splitter->model);
	if (error)
		log_warning("%s cannot be written: %s", d->options.state, strerror(-error));
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
	set_interfaces(d, wanted, d->splitter->model);
	wait_for_neighbours(d, wanted);
	error = attach(d, wanted, why);
	if (!error)
		error = apply_wanted(d, configured, wanted, why);
	else
		discard(configured, wanted);
	set_interfaces(d, d->splitter->model, NULL);
	splitter_refresh_hops(d->splitter, d->routes, probe, d);
	detach_all_but(d, d->splitter->model);
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
	error = read_wanted(d, problems, &configured, &wanted, &kept, why);
	if (error)
		return error;
	log_lines(LOG_LEVEL_INFO, kept);
	error = start_datapath(d, wanted, why);
	if (error) {
		discard(configured, wanted);
		return error;
	}
	set_interfaces(d, wanted, NULL);
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
	error = attach(d, d->splitter->model, why);
	detach_all_but(d, d->splitter->model);
	return error;
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
	sd_event_source_unref(d->rotate);
	patrol_destroy(d->patrol);
	rates_destroy(d->rates);
	splitter_destroy(d->splitter);
	datapath_close(d->datapath);
	netlink_close(d->netlink);
	routes_free(d->routes);
	model_free(d->configured);
}
