// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mirror_link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "util.h"

#define BUFFER_BYTES 16384

static struct nlmsghdr *begin(char *buffer, uint16_t type, uint16_t flags, struct ifinfomsg **ret)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = 1;
	*ret = mnl_nlmsg_put_extra_header(message, sizeof(**ret));
	return message;
}

/* Sends a request and reads its answer, which goes to @visit (may be NULL). 0 or -errno. */
static int exchange(struct nlmsghdr *request, mnl_cb_t visit, void *context)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	_cleanup_free_ char *answer = malloc(BUFFER_BYTES);
	int more = MNL_CB_OK, error = 0;
	ssize_t length;

	if (!socket)
		return -errno;
	if (!answer || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		error = -errno;
	while (!error && more > MNL_CB_STOP) {
		length = mnl_socket_recvfrom(socket, answer, BUFFER_BYTES);
		more = length < 0 ? -1 : mnl_cb_run(answer, length, 1, mnl_socket_get_portid(socket), visit, context);
		if (more < 0)
			error = -errno;
	}
	mnl_socket_close(socket);
	return error;
}

/* --- finding --- */

struct found {
	uint32_t ifindex;
	uint32_t peer;
	bool veth;
	bool up; /* with its peer: else there is no carrier */
};

static bool is_kind(const struct nlattr *info, const char *kind)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			return !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) &&
			       !strcmp(mnl_attr_get_str(attribute), kind);
	}
	return false;
}

static int read_link(const struct nlmsghdr *message, void *context)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct found *found = context;
	const struct nlattr *attribute;
	bool elsewhere = false;

	found->ifindex = header->ifi_index;
	found->up = header->ifi_flags & IFF_UP && header->ifi_flags & IFF_RUNNING;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == IFLA_LINK)
			found->peer = mnl_attr_get_u32(attribute);
		else if (mnl_attr_get_type(attribute) == IFLA_LINK_NETNSID)
			elsewhere = true;
		else if (mnl_attr_get_type(attribute) == IFLA_LINKINFO)
			found->veth = is_kind(attribute, "veth");
	}
	if (elsewhere)
		found->peer = 0;
	return MNL_CB_OK;
}

int mirror_link_find(struct mirror_link *ret)
{
	_cleanup_free_ char *buffer = malloc(BUFFER_BYTES);
	uint32_t far = if_nametoindex(MIRROR_FAR);
	struct found found = {};
	struct nlmsghdr *request;
	struct ifinfomsg *header;
	int error;

	if (!buffer)
		return -ENOMEM;
	request = begin(buffer, RTM_GETLINK, 0, &header);
	mnl_attr_put_strz(request, IFLA_IFNAME, MIRROR_NEAR);
	error = exchange(request, read_link, &found);
	if (error == -ENODEV)
		return far ? -EEXIST : -ENOENT;
	if (error)
		return error;
	if (!found.veth || !far || found.peer != far)
		return -EEXIST;
	*ret = (struct mirror_link){.near = found.ifindex, .far = far, .up = found.up};
	return 0;
}

/* --- making --- */

static void put_end(struct nlmsghdr *message, const char *name, uint32_t queues)
{
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	mnl_attr_put_u32(message, IFLA_MTU, MIRROR_MTU);
	mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, queues);
	mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, queues);
}

int mirror_link_make(struct mirror_link *ret)
{
	_cleanup_free_ char *buffer = malloc(BUFFER_BYTES);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t queues = cpus > 0 ? cpus : 1;
	struct nlattr *info, *data, *peer;
	struct nlmsghdr *request;
	struct ifinfomsg *header;
	int error;

	if (!buffer)
		return -ENOMEM;
	request = begin(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header);
	put_end(request, MIRROR_NEAR, queues);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(*header));
	put_end(request, MIRROR_FAR, queues);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	error = exchange(request, NULL, NULL);
	return error ?: mirror_link_find(ret);
}

/* No link-local address, and so none of the messages that come with one. A kernel without IPv6 has none either. */
static int set_no_addresses(uint32_t ifindex)
{
	char buffer[512];
	struct nlattr *specific, *ipv6;
	struct ifinfomsg *header;
	struct nlmsghdr *request = begin(buffer, RTM_NEWLINK, 0, &header);
	int error;

	header->ifi_index = ifindex;
	specific = mnl_attr_nest_start(request, IFLA_AF_SPEC);
	ipv6 = mnl_attr_nest_start(request, AF_INET6);
	mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(request, ipv6);
	mnl_attr_nest_end(request, specific);
	error = exchange(request, NULL, NULL);
	return error == -EAFNOSUPPORT || error == -EOPNOTSUPP ? 0 : error;
}

static int bring_up(uint32_t ifindex)
{
	char buffer[512];
	struct ifinfomsg *header;
	struct nlmsghdr *request = begin(buffer, RTM_NEWLINK, 0, &header);

	header->ifi_index = ifindex;
	header->ifi_flags = IFF_UP | IFF_NOARP;
	header->ifi_change = IFF_UP | IFF_NOARP;
	mnl_attr_put_u32(request, IFLA_MTU, MIRROR_MTU);
	return exchange(request, NULL, NULL);
}

struct offload {
	uint32_t get, set; /* ethtool's commands */
};

static int turn_off(const char *name, const struct offload *offloads, size_t count)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value;
	struct ifreq request = {};

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_data = (void *)&value;
	for (size_t i = 0; i < count; i++) {
		value = (struct ethtool_value){.cmd = offloads[i].get};
		/* With a program at the far end some are off for good, and not to be set. */
		if (ioctl(fd, SIOCETHTOOL, &request) == 0 && !value.data)
			continue;
		value = (struct ethtool_value){.cmd = offloads[i].set};
		if (ioctl(fd, SIOCETHTOOL, &request))
			return -errno;
	}
	return 0;
}

/*
 * What comes in at the near end is whole packets with whole checksums: as to a wire, which takes no more. Large ones
 * are cut, and checksums completed, before.
 */
static int turn_off_offloads(void)
{
	static const struct offload all[] = {
		{ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM}, {ETHTOOL_GTSO, ETHTOOL_STSO}, {ETHTOOL_GGSO, ETHTOOL_SGSO}};

	return turn_off(MIRROR_NEAR, all, ARRAY_SIZE(all));
}

int mirror_link_turn_off_merging(void)
{
	static const struct offload merging = {ETHTOOL_GGRO, ETHTOOL_SGRO};

	return turn_off(MIRROR_FAR, &merging, 1);
}

int mirror_link_set_up(const struct mirror_link *link)
{
	int error = turn_off_offloads();

	if (!error)
		error = set_no_addresses(link->near);
	if (!error)
		error = set_no_addresses(link->far);
	if (!error)
		error = bring_up(link->far);
	return error ?: bring_up(link->near);
}

int mirror_link_delete(const struct mirror_link *link)
{
	char buffer[512];
	struct ifinfomsg *header;
	struct nlmsghdr *request = begin(buffer, RTM_DELLINK, 0, &header);

	header->ifi_index = link->near;
	return exchange(request, NULL, NULL);
}
