// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "attach.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "hook_tc.h"
#include "names.h"
#include "pins.h"
#include "program.h"

#define DISPATCHER "xdp_dispatcher"

static int refuse_foreign(const char *interface, const struct xdp_hook *found, struct refusal *why)
{
	if (strcmp(found->name, DISPATCHER) == 0)
		return refuse(
			why, EBUSY,
			"%s already runs the dispatcher of libxdp ('%s', id %u), which Headgate does not replace; "
			"say existing: chain to run in front of it, or take it off: xdp-loader unload %s --all",
			interface, found->name, found->program, interface);
	return refuse(why, EBUSY,
		      "%s already runs XDP program '%s' (id %u), which Headgate does not replace; `bpftool net` shows "
		      "it: say existing: chain to run in front of it, or take it off: ip link set dev %s xdp%s off",
		      interface, found->name, found->program, interface,
		      found->mode == ATTACH_GENERIC ? "generic" : "drv");
}

static int refuse_link(const char *interface, enum attach_mode mode, int error, struct refusal *why)
{
	return refuse(why, -error, "cannot attach to %s in %s mode: %s; %s", interface, name_of_attach(mode),
		      strerror(-error),
		      mode == ATTACH_NATIVE ? "say attach: auto or tc for it, or run `headgate doctor`"
					    : "run `headgate doctor`");
}

/* Native and generic cannot be on one interface together, so TC does the work while one makes way for the other. */
static int change_link_mode(const char *pins, uint32_t ifindex, const char *interface, enum attach_mode from,
			    enum attach_mode to, const struct attach_programs *programs, struct refusal *why)
{
	int bridge = hook_tc_attach(pins, interface, ifindex, programs->tc, NULL);
	int error = hook_xdp_detach(pins, interface, ifindex);

	if (!error)
		error = hook_xdp_link(pins, interface, ifindex, programs->xdp, to);
	if (!error)
		return 0;
	if (hook_xdp_link(pins, interface, ifindex, programs->xdp, from) == 0 && !bridge)
		hook_tc_detach(pins, interface, ifindex);
	return refuse_link(interface, to, error, why);
}

static int chain(const char *pins, uint32_t ifindex, const struct interface_model *wanted, const struct xdp_hook *found,
		 const struct attach_programs *programs, struct refusal *why)
{
	if (wanted->attach != ATTACH_AUTO && wanted->attach != found->mode)
		return refuse(
			why, EBUSY,
			"%s runs XDP program '%s' (id %u) in %s mode, and what is chained to it runs in the same: "
			"say attach: %s",
			wanted->name, found->name, found->program, name_of_attach(found->mode),
			name_of_attach(found->mode));
	return hook_xdp_chain(pins, wanted->name, ifindex, found, programs->load_chain, programs->context, why);
}

static int attach_xdp(const char *pins, uint32_t ifindex, const struct interface_model *wanted,
		      const struct attach_programs *programs, struct refusal *why)
{
	enum attach_mode mode = wanted->attach == ATTACH_AUTO ? ATTACH_NATIVE : wanted->attach;
	struct xdp_hook found;
	int error = hook_xdp_look(pins, wanted->name, ifindex, &found);

	if (error)
		return refuse(why, -error, "cannot ask what runs on %s: %s", wanted->name, strerror(-error));
	switch (found.owner) {
	case XDP_OURS:
		if (found.mode != mode)
			return change_link_mode(pins, ifindex, wanted->name, found.mode, mode, programs, why);
		error = hook_xdp_update(pins, wanted->name, programs->xdp);
		return error ? refuse(why, -error, "cannot replace the program on %s: %s", wanted->name,
				      strerror(-error))
			     : 0;
	case XDP_FOREIGN:
		if (wanted->existing != EXISTING_CHAIN)
			return refuse_foreign(wanted->name, &found, why);
		return chain(pins, ifindex, wanted, &found, programs, why);
	case XDP_OURS_CHAIN:
		return chain(pins, ifindex, wanted, &found, programs, why);
	default:
		error = hook_xdp_link(pins, wanted->name, ifindex, programs->xdp, mode);
		return error ? refuse_link(wanted->name, mode, error, why) : 0;
	}
}

int attach(const char *pins, uint32_t ifindex, const struct interface_model *wanted,
	   const struct attach_programs *programs, struct attachment *ret, struct refusal *why)
{
	struct attachment made = {.mode = ATTACH_TC};
	struct xdp_hook found;
	int error;

	if (wanted->attach == ATTACH_TC) {
		error = hook_tc_attach(pins, wanted->name, ifindex, programs->tc, why);
		if (error)
			return error;
		error = hook_xdp_detach(pins, wanted->name, ifindex);
		if (error && error != -ENOENT)
			return refuse(why, -error, "cannot take the XDP program off %s: %s", wanted->name,
				      strerror(-error));
		*ret = made;
		return 0;
	}
	error = attach_xdp(pins, ifindex, wanted, programs, why);
	if (error)
		return error;
	hook_tc_detach(pins, wanted->name, ifindex);
	error = hook_xdp_look(pins, wanted->name, ifindex, &found);
	if (error)
		return refuse(why, -error, "cannot ask what runs on %s: %s", wanted->name, strerror(-error));
	made.mode = found.mode;
	if (found.owner == XDP_OURS_CHAIN)
		hook_xdp_behind(pins, wanted->name, &made.chained, made.chained_name);
	*ret = made;
	return 0;
}

int attach_detach(const char *pins, const char *interface)
{
	uint32_t ifindex = if_nametoindex(interface);
	int xdp = hook_xdp_detach(pins, interface, ifindex);
	int tc = hook_tc_detach(pins, interface, ifindex);

	if (xdp && xdp != -ENOENT)
		return xdp;
	return tc && tc != -ENOENT ? tc : xdp && tc ? -ENOENT : 0;
}

int attach_probe(const char *pins, const char *interface, uint32_t ifindex, const struct attach_programs *programs,
		 char *ret_words, size_t size)
{
	struct refusal why;
	struct xdp_hook found;
	int error = hook_xdp_look(pins, interface, ifindex, &found);

	if (!error && found.owner == XDP_OURS && found.mode == ATTACH_GENERIC) {
		error = hook_tc_attach(pins, interface, ifindex, programs->tc, &why);
		if (error) {
			snprintf(ret_words, size, "%s", why.text);
			return error;
		}
		hook_xdp_detach(pins, interface, ifindex);
		found.owner = XDP_NOBODY;
	}
	if (!error && found.owner == XDP_NOBODY)
		return hook_xdp_probe(ifindex, ret_words, size);
	if (error)
		snprintf(ret_words, size, "%s", strerror(-error));
	return error;
}
