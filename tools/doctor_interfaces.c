// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether each configured interface can carry the programs. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "ethtool.h"
#include "hook_tc.h"
#include "hook_xdp.h"

/*
 * A frame must fit a page together with XDP's headroom and what the stack keeps at its end. Drivers differ by some
 * bytes; this is where the strictest of the common ones (mlx5, with 4 KiB pages) stops.
 */
#define NATIVE_MTU_MAX_BYTES 3498U

static void check_link(struct doctor *d, const char *name, unsigned int flags)
{
	char driver[ETHTOOL_BUSINFO_LEN] = "";

	if (!(flags & IFF_UP)) {
		doctor_find(d, FINDING_FAIL, "interface", "%s is down", name);
		doctor_mend(d, "ip link set dev %s up", name);
		return;
	}
	if (ethtool_driver(name, driver) < 0)
		strcpy(driver, "unknown");
	if (flags & IFF_RUNNING) {
		doctor_find(d, FINDING_OK, "interface", "%s is up, driver %s", name, driver);
	} else {
		doctor_find(d, FINDING_WARN, "interface", "%s is up, but has no carrier; driver %s", name, driver);
		doctor_mend(d, "ip link show dev %s    (then its cable, switch port or peer)", name);
	}
	if (!strcmp(driver, "veth")) {
		doctor_find(d, FINDING_OK, "veth",
			    "%s: its peer must compute checksums itself and take redirected frames, "
			    "which does not show from here",
			    name);
		doctor_mend(d, "on the peer: ethtool -K PEER tx off tso off gro on");
	}
}

static void check_mtu(struct doctor *d, const struct interface_model *interface, unsigned int mtu_bytes)
{
	if (mtu_bytes <= NATIVE_MTU_MAX_BYTES || interface->attach == ATTACH_GENERIC ||
	    interface->attach == ATTACH_TC) {
		doctor_find(d, FINDING_OK, "mtu", "%s: %u", interface->name, mtu_bytes);
		return;
	}
	doctor_find(d, FINDING_WARN, "mtu", "%s: %u is more than most drivers take with native XDP (%u)",
		    interface->name, mtu_bytes, NATIVE_MTU_MAX_BYTES);
	doctor_mend(d, "ip link set dev %s mtu %u", interface->name, NATIVE_MTU_MAX_BYTES);
}

/* Frames that the hardware merged are larger than XDP takes, and cannot be sent on as they came. */
static void check_merging(struct doctor *d, const char *name)
{
	static const struct {
		const char *feature, *option; /* as the kernel and as ethtool -K call it */
	} merging[] = {{"rx-lro", "lro"}, {"rx-gro-hw", "rx-gro-hw"}};
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(merging); i++) {
		bool active = false;

		if (ethtool_feature(name, merging[i].feature, &active) < 0 || !active)
			continue;
		doctor_find(d, FINDING_WARN, "merging", "%s: the hardware merges received frames (%s)", name,
			    merging[i].feature);
		doctor_mend(d, "ethtool -K %s %s off", name, merging[i].option);
		found = true;
	}
	if (!found)
		doctor_find(d, FINDING_OK, "merging", "%s: the hardware does not merge received frames", name);
}

/* The interface's name as sysctl writes it in a dotted path: eth0.100 is eth0/100. */
static const char *sysctl_name(const char *name, char text[IF_NAMESIZE])
{
	snprintf(text, IF_NAMESIZE, "%s", name);
	for (char *dot = text; (dot = strchr(dot, '.'));)
		*dot = '/';
	return text;
}

static void check_reverse_path(struct doctor *d, const char *name)
{
	char path[64], dotted[IF_NAMESIZE];
	long all = 0, own = 0, mode;

	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", name);
	if (doctor_sysctl_number(path, &own) < 0 || doctor_sysctl_number("net/ipv4/conf/all/rp_filter", &all) < 0)
		return;
	mode = own > all ? own : all; /* Documentation/networking/ip-sysctl.rst: the larger one is in force */
	if (mode != 1) {
		doctor_find(d, FINDING_OK, "rp_filter", "%s: not strict (%ld)", name, mode);
		return;
	}
	doctor_find(d, FINDING_WARN, "rp_filter",
		    "%s: strict; what Headgate passes to the kernel is dropped when it came another way than the route "
		    "back",
		    name);
	doctor_mend(d, "sysctl -w net.ipv4.conf.%s.rp_filter=2", sysctl_name(name, dotted));
}

/* The XDP hook holds one program: another one there keeps Headgate off, unless that is to be in front of it. */
static void check_xdp(struct doctor *d, const struct interface_model *interface)
{
	const char *name = interface->name;
	struct xdp_hook found;
	int rc = hook_xdp_look(d->pins, name, if_nametoindex(name), &found);

	if (rc < 0) {
		doctor_find(d, FINDING_WARN, "xdp", "%s: cannot ask for its program: %s", name, strerror(-rc));
	} else if (found.owner == XDP_NOBODY) {
		doctor_find(d, FINDING_OK, "xdp", "%s: no program", name);
	} else if (found.owner != XDP_FOREIGN) {
		doctor_find(d, FINDING_OK, "xdp", "%s: Headgate's program (id %u)%s", name, found.program,
			    found.owner == XDP_OURS_CHAIN ? ", in front of another one" : "");
	} else if (geteuid()) {
		doctor_find(d, FINDING_WARN, "xdp", "%s: program id %u; only root can see whose it is", name,
			    found.program);
		doctor_mend(d, "sudo headgate doctor");
	} else if (interface->attach == ATTACH_TC || interface->existing == EXISTING_CHAIN) {
		doctor_find(d, FINDING_OK, "xdp", "%s: program '%s' (id %u), %s", name, found.name, found.program,
			    interface->attach == ATTACH_TC ? "which sees packets before Headgate does"
							   : "which Headgate will run in front of");
	} else {
		doctor_find(d, FINDING_FAIL, "xdp", "%s: program '%s' (id %u), not pinned in %s, keeps Headgate off",
			    name, found.name, found.program, d->pins);
		doctor_mend(d, "existing: chain, to run in front of it; or: ip link set dev %s xdp off", name);
	}
}

/* Only where TC may be used, and root asks: whose a filter is nobody else can see. */
static void check_tc(struct doctor *d, const struct interface_model *interface)
{
	const char *name = interface->name;
	char foreign[HOOK_TC_TEXT_SIZE];
	bool ours;

	if (geteuid() || (interface->attach != ATTACH_TC && interface->attach != ATTACH_AUTO) ||
	    hook_tc_look(d->pins, if_nametoindex(name), &ours, foreign) < 0)
		return;
	if (!foreign[0]) {
		doctor_find(d, FINDING_OK, "tc", "%s: %s", name, ours ? "Headgate's filter" : "its priority is free");
		return;
	}
	doctor_find(d, interface->attach == ATTACH_TC ? FINDING_FAIL : FINDING_WARN, "tc",
		    "%s: %s has priority %d, where Headgate's goes", name, foreign, HOOK_TC_PRIORITY);
	doctor_mend(d, "tc filter show dev %s ingress    (and give it a higher priority)", name);
}

void doctor_check_interfaces(struct doctor *d, const struct model *model)
{
	libbpf_set_print(NULL);
	for (size_t i = 0; i < model->interface_count; i++) {
		const struct interface_model *interface = &model->interfaces[i];
		unsigned int flags, mtu_bytes;
		int rc = interface_look(interface->name, &flags, &mtu_bytes);

		if (rc < 0) {
			doctor_find(d, FINDING_FAIL, "interface", "%s: %s", interface->name,
				    rc == -ENODEV ? "there is no such interface" : strerror(-rc));
			doctor_mend(d, "ip -brief link    (and correct interfaces: in the configuration)");
			continue;
		}
		check_link(d, interface->name, flags);
		check_mtu(d, interface, mtu_bytes);
		check_merging(d, interface->name);
		check_reverse_path(d, interface->name);
		check_xdp(d, interface);
		check_tc(d, interface);
	}
}
