// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hook_tc.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/stat.h>

#include "pins.h"
#include "program.h"
#include "util.h"

#define OUR_HANDLE 1
#define BUFFER_BYTES 32768

/* One filter, as a dump tells of it. */
struct filter {
	uint32_t handle; /* 0: the message is of the list of filters with this priority, not of a filter */
	uint32_t priority;
	uint32_t chain;
	const char *kind;
	const char *name; /* NULL: none */
	uint32_t program; /* id; 0: it is none of BPF's */
};

static int keep_attribute(const struct nlattr *attribute, void *context)
{
	const struct nlattr **table = context;

	if (mnl_attr_get_type(attribute) <= TCA_MAX)
		table[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

static void read_filter(const struct nlmsghdr *message, struct filter *ret)
{
	const struct tcmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *found[TCA_MAX + 1] = {}, *inner;

	mnl_attr_parse(message, sizeof(*head), keep_attribute, found);
	*ret = (struct filter){
		.handle = head->tcm_handle,
		.priority = TC_H_MAJ(head->tcm_info) >> 16,
		.chain = found[TCA_CHAIN] ? mnl_attr_get_u32(found[TCA_CHAIN]) : 0,
		.kind = found[TCA_KIND] ? mnl_attr_get_str(found[TCA_KIND]) : "unknown",
	};
	if (!found[TCA_OPTIONS] || strcmp(ret->kind, "bpf"))
		return;
	mnl_attr_for_each_nested(inner, found[TCA_OPTIONS])
	{
		if (mnl_attr_get_type(inner) == TCA_BPF_NAME)
			ret->name = mnl_attr_get_str(inner);
		else if (mnl_attr_get_type(inner) == TCA_BPF_ID)
			ret->program = mnl_attr_get_u32(inner);
	}
}

/* What is looked for among an interface's filters. */
struct search {
	const char *pins;
	uint32_t filters;                /* found, of anybody's */
	bool ours;                       /* ours is there */
	char foreign[HOOK_TC_TEXT_SIZE]; /* who else has our priority; empty: nobody */
};

static bool filter_is_ours(const struct filter *f, const char *pins)
{
	_cleanup_close_ int program = -1;

	if (f->handle != OUR_HANDLE || !f->program)
		return false;
	program = program_open(f->program);
	return program >= 0 && program_is_ours(program, pins);
}

static int look_at_filter(const struct nlmsghdr *message, void *context)
{
	struct search *s = context;
	struct filter f;

	read_filter(message, &f);
	s->filters += f.handle != 0;
	if (f.priority != HOOK_TC_PRIORITY || f.chain)
		return MNL_CB_OK;
	if (filter_is_ours(&f, s->pins))
		s->ours = true;
	else if (f.program)
		snprintf(s->foreign, sizeof(s->foreign), "filter '%.64s' (program id %u, handle 0x%x)", f.name ?: "bpf",
			 f.program, f.handle);
	else if (f.handle || strcmp(f.kind, "bpf"))
		snprintf(s->foreign, sizeof(s->foreign), "a filter of kind '%.32s'", f.kind);
	return MNL_CB_OK;
}

static int dump_filters(struct mnl_socket *socket, uint32_t ifindex, uint32_t parent, struct search *s)
{
	_cleanup_free_ char *buffer = calloc(1, BUFFER_BYTES);
	struct nlmsghdr *request;
	struct tcmsg *head;
	ssize_t length;
	int more = MNL_CB_OK;

	if (!buffer)
		return -ENOMEM;
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = RTM_GETTFILTER;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = parent;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->tcm_family = AF_UNSPEC;
	head->tcm_ifindex = ifindex;
	head->tcm_parent = parent;
	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		length = mnl_socket_recvfrom(socket, buffer, BUFFER_BYTES);
		if (length < 0)
			return -errno;
		more = mnl_cb_run(buffer, length, parent, mnl_socket_get_portid(socket), look_at_filter, s);
	}
	return more < 0 ? -errno : 0;
}

/* The filters of clsact's ingress; with @both, of its egress too. No clsact, no filters. */
static int search_filters(const char *pins, uint32_t ifindex, bool both, struct search *ret)
{
	struct search s = {.pins = pins};
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int error = 0;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID))
		error = -errno;
	if (!error)
		error = dump_filters(socket, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), &s);
	if (!error && both)
		error = dump_filters(socket, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), &s);
	mnl_socket_close(socket);
	if (!error)
		*ret = s;
	return error;
}

int hook_tc_look(const char *pins, uint32_t ifindex, bool *ret_ours, char ret_foreign[HOOK_TC_TEXT_SIZE])
{
	struct search found;
	int error = search_filters(pins, ifindex, false, &found);

	if (error)
		return error;
	*ret_ours = found.ours;
	memcpy(ret_foreign, found.foreign, HOOK_TC_TEXT_SIZE);
	return 0;
}

/* Removes what remembers an interface. */
static void forget(const char *pins, const char *interface)
{
	char path[PINS_PATH_SIZE];

	rmdir(pins_path(pins, "tc", interface, "/qdisc", path));
	rmdir(pins_path(pins, "tc", interface, "", path));
}

/* Remembers before it makes: a daemon that dies in between leaves nothing that nobody knows of. */
static int make_qdisc(const char *pins, const char *interface, const struct bpf_tc_hook *hook)
{
	char path[PINS_PATH_SIZE], folder[PINS_PATH_SIZE];
	bool known = false, remembered;
	int error;

	if (mkdir(pins_path(pins, "tc", interface, "", folder), 0700)) {
		if (errno != EEXIST)
			return -errno;
		known = true;
	}
	remembered = mkdir(pins_path(pins, "tc", interface, "/qdisc", path), 0700) && errno == EEXIST;
	error = bpf_tc_hook_create((struct bpf_tc_hook *)hook);
	if (error && !remembered)
		rmdir(path);
	if (error && error != -EEXIST && !known)
		rmdir(folder);
	return error == -EEXIST ? 0 : error;
}

int hook_tc_attach(const char *pins, const char *interface, uint32_t ifindex, int program, struct refusal *why)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = OUR_HANDLE, .priority = HOOK_TC_PRIORITY);
	struct search found;
	int error = search_filters(pins, ifindex, false, &found);

	if (error)
		return refuse(why, -error, "cannot list the TC filters of %s: %s", interface, strerror(-error));
	if (found.foreign[0])
		return refuse(why, EBUSY,
			      "%s has %s at priority %d of its TC ingress, where Headgate's goes; `tc filter show dev "
			      "%s ingress` shows it: move it to a higher priority, or: tc filter del dev %s ingress "
			      "prio %d",
			      interface, found.foreign, HOOK_TC_PRIORITY, interface, interface, HOOK_TC_PRIORITY);
	error = make_qdisc(pins, interface, &hook);
	if (error)
		return refuse(why, -error, "cannot add clsact to %s: %s", interface, kernel_words(error));
	if (found.ours)
		options.flags = BPF_TC_F_REPLACE;
	error = bpf_tc_attach(&hook, &options);
	if (error) {
		if (!found.ours)
			hook_tc_detach(pins, interface, ifindex);
		return refuse(why, -error, "cannot attach to TC of %s: %s", interface, kernel_words(error));
	}
	return 0;
}

int hook_tc_detach(const char *pins, const char *interface, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = OUR_HANDLE, .priority = HOOK_TC_PRIORITY);
	char path[PINS_PATH_SIZE];
	struct search found;
	int error;

	if (access(pins_path(pins, "tc", interface, "", path), F_OK))
		return -ENOENT;
	error = ifindex ? search_filters(pins, ifindex, false, &found) : -ENODEV;
	if (!error && found.ours)
		error = bpf_tc_detach(&hook, &options);
	if (error && error != -ENODEV)
		return error;
	if (!error && access(pins_path(pins, "tc", interface, "/qdisc", path), F_OK) == 0 &&
	    search_filters(pins, ifindex, true, &found) == 0 && !found.filters) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
	forget(pins, interface);
	return 0;
}
