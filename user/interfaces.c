// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "interfaces.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "mirror_link.h"
#include "mirror_way.h"
#include "names.h"

int interfaces_check(const struct daemon *d, const struct model *model, struct refusal *why)
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

void interfaces_may_send(struct daemon *d, const struct model *model, const struct model *also)
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

/* --- auto --- */

/* True when a driver has no native XDP: asked once, since to ask may make it reset the hardware. */
static bool lacks_native(struct daemon *d, const char *name, uint32_t ifindex)
{
	struct attached_interface *slot = need_attached(d, name);

	if (!slot)
		return false;
	if (slot->probed_ifindex != ifindex) {
		slot->no_native[0] = '\0';
		if (datapath_probe(d->datapath, name, ifindex, slot->no_native, sizeof(slot->no_native)) &&
		    !slot->no_native[0])
			strcpy(slot->no_native, "it refuses");
		slot->probed_ifindex = ifindex;
	}
	return slot->no_native[0];
}

/*
 * What XDP redirects can leave only by a driver that has XDP too. So if one of those that are to be chosen for has not,
 * none gets XDP. The name of that one, or NULL.
 */
static const char *interface_without_native(struct daemon *d, const struct model *model)
{
	for (size_t i = 0; i < model->interface_count; i++) {
		const struct interface_model *wanted = &model->interfaces[i];
		const struct link_info *link = routes_link_by_name(d->routes, wanted->name);

		if (wanted->attach == ATTACH_AUTO && link && lacks_native(d, wanted->name, link->ifindex))
			return wanted->name;
	}
	return NULL;
}

/* --- attaching --- */

static void explain(struct attached_interface *slot, const struct interface_model *wanted, const char *without)
{
	char *text = slot->reason;
	size_t size = sizeof(slot->reason);

	if (wanted->attach == ATTACH_TC || wanted->attach == ATTACH_NATIVE || wanted->attach == ATTACH_GENERIC)
		snprintf(text, size, "as configured");
	else if (!without && slot->is.chained)
		snprintf(text, size, "auto: in front of the program that was there, in its mode");
	else if (!without)
		snprintf(text, size, "auto: its driver takes native XDP");
	else if (strcmp(without, wanted->name) == 0 || slot->no_native[0])
		snprintf(text, size, "auto: its driver does not take native XDP: %s", slot->no_native);
	else
		snprintf(text, size,
			 "auto: what XDP sends could not leave by %s, whose driver does not take native XDP", without);
}

static void tell(const struct attached_interface *slot)
{
	const char *hook = slot->is.mode == ATTACH_TC       ? "TC"
			   : slot->is.mode == ATTACH_NATIVE ? "native XDP"
							    : "generic XDP";

	if (slot->is.chained)
		log_info("%s: attached, %s, in front of '%s' (id %u); %s", slot->name, hook, slot->is.chained_name,
			 slot->is.chained, slot->reason);
	else
		log_info("%s: attached, %s; %s", slot->name, hook, slot->reason);
}

/* @without: by interface_without_native() */
static int attach_one(struct daemon *d, const struct interface_model *interface, const char *without,
		      struct refusal *why)
{
	const struct link_info *link = routes_link_by_name(d->routes, interface->name);
	struct attached_interface *slot = need_attached(d, interface->name);
	struct interface_model wanted = *interface;
	struct attachment is;
	bool changed;
	int error;

	if (!slot || !link) {
		if (slot)
			slot->ifindex = 0;
		return refuse(why, ENODEV, "interface %s is gone", interface->name);
	}
	if (without && wanted.attach == ATTACH_AUTO)
		wanted.attach = ATTACH_TC;
	error = datapath_attach(d->datapath, link->ifindex, &wanted, &is, why);
	if (error) {
		slot->ifindex = 0;
		return error;
	}
	changed = slot->ifindex != link->ifindex || memcmp(&slot->is, &is, sizeof(is));
	slot->is = is;
	explain(slot, interface, without);
	if (changed)
		tell(slot);
	slot->ifindex = link->ifindex;
	slot->asked = wanted.attach;
	return 0;
}

int interfaces_attach(struct daemon *d, const struct model *model, struct refusal *why)
{
	const char *without = interface_without_native(d, model);
	struct refusal another;
	int first = 0;

	for (size_t i = 0; i < model->interface_count; i++) {
		int error = attach_one(d, &model->interfaces[i], without, first ? &another : why);

		if (!first)
			first = error;
	}
	return first;
}

void interfaces_refresh(struct daemon *d)
{
	const struct model *model = d->splitter->model;
	const char *without = interface_without_native(d, model);
	struct refusal why;

	for (size_t i = 0; i < model->interface_count; i++) {
		const struct interface_model *interface = &model->interfaces[i];
		const struct link_info *link = routes_link_by_name(d->routes, interface->name);
		const struct attached_interface *slot = find_attached(d, interface->name);
		enum attach_mode asked = without && interface->attach == ATTACH_AUTO ? ATTACH_TC : interface->attach;

		if (!link || (slot && slot->ifindex == link->ifindex && slot->asked == asked))
			continue;
		interfaces_may_send(d, model, NULL);
		if (attach_one(d, interface, without, &why))
			log_error("%s", why.text);
	}
}

/* --- the mirror --- */

/* Whether some (@any) or all of the interfaces that programs run on have that mode. */
static bool run_in(const struct daemon *d, enum attach_mode mode, bool any)
{
	for (size_t i = 0; i < d->attached_count; i++)
		if (d->attached[i].ifindex && (d->attached[i].is.mode == mode) == any)
			return any;
	return !any;
}

/*
 * The interfaces that XDP can send a packet and its copy by. What is said of a copy in front of it gets lost where XDP
 * is generic: one such interface, and XDP copies nothing.
 */
static size_t ways_out(const struct daemon *d, uint32_t *ret)
{
	size_t count = 0;

	if (run_in(d, ATTACH_GENERIC, true))
		return 0;
	for (size_t i = 0; i < d->splitter->ifindex_count; i++)
		if (mirror_way_takes_frames(d->splitter->ifindex[i]))
			ret[count++] = d->splitter->ifindex[i];
	return count;
}

void interfaces_mirror(struct daemon *d, const struct model *model)
{
	uint32_t ways[ARRAY_SIZE(d->splitter->ifindex)], before = d->mirror.near;
	struct refusal why = {};

	if (!model_has_shadow(model))
		return;
	mirror_ensure(&d->mirror, d->datapath, d->options.pins, ways, ways_out(d, ways),
		      run_in(d, ATTACH_NATIVE, false), &why);
	if (why.text[0] && strcmp(why.text, d->mirror_trouble))
		log_error("shadows get nothing: %s", why.text);
	else if (!why.text[0] && d->mirror.near != before)
		log_info("copies for shadows go by %s", MIRROR_NEAR);
	memcpy(d->mirror_trouble, why.text, sizeof(d->mirror_trouble));
}

/* --- detaching --- */

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
	int error;

	if (names_interface(c->model, interface))
		return;
	error = datapath_detach(c->daemon->datapath, interface);
	if (!error)
		log_info("%s: detached, as the configuration no longer names it", interface);
	else if (error != -ENOENT)
		log_error("%s: cannot be detached: %s", interface, strerror(-error));
}

void interfaces_detach_others(struct daemon *d, const struct model *model)
{
	for (size_t i = d->attached_count; i-- > 0;)
		if (!names_interface(model, d->attached[i].name))
			d->attached[i] = d->attached[--d->attached_count];
	datapath_each_interface(d->options.pins, detach_unwanted,
				&(struct detach_context){.daemon = d, .model = model});
}
