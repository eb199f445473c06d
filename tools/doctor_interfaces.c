// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether each configured interface can carry the programs. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "ethtool.h"

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
	if (mtu_bytes <= NATIVE_MTU_MAX_BYTES || interface->attach == ATTACH_GENERIC) {
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

/* The id of the program that Headgate's pinned link holds on an interface. 0, -ENOENT (no link) or another -errno. */
static int pinned_program(const char *pins, const char *interface, __u32 *ret)
{
	struct bpf_link_info info = {0};
	__u32 size = sizeof(info);
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;

	if (asprintf(&path, "%s/v%d/links/%s", pins, HEADGATE_ABI, interface) < 0)
		return -ENOMEM;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	*ret = info.prog_id;
	return 0;
}

/* An XDP hook holds one program: with another one there, Headgate cannot attach. */
static void check_program(struct doctor *d, const char *name)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, found);
	int rc = bpf_xdp_query(if_nametoindex(name), 0, &found);
	__u32 program, pinned = 0;

	if (rc < 0) {
		doctor_find(d, FINDING_WARN, "xdp", "%s: cannot ask for its program: %s", name, strerror(-rc));
		return;
	}
	program = found.drv_prog_id ?: found.skb_prog_id ?: found.hw_prog_id;
	if (!program) {
		doctor_find(d, FINDING_OK, "xdp", "%s: no program", name);
		return;
	}
	rc = pinned_program(d->pins, name, &pinned);
	if (program == pinned) {
		doctor_find(d, FINDING_OK, "xdp", "%s: Headgate's program (id %u)", name, program);
	} else if (rc == -EACCES || rc == -EPERM) {
		doctor_find(d, FINDING_WARN, "xdp", "%s: program id %u; only root can see whose it is", name, program);
		doctor_mend(d, "sudo headgate doctor");
	} else {
		doctor_find(d, FINDING_FAIL, "xdp", "%s: program id %u, not pinned in %s, keeps Headgate off", name,
			    program, d->pins);
		doctor_mend(d, "bpftool prog show id %u; ip link set dev %s xdp off", program, name);
	}
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
		check_program(d, interface->name);
	}
}
