// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mirror_way.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include "util.h"

#define BUFFER_BYTES 8192

/* Of Linux' netdev.h, which Debian 12 does not have: Documentation/netlink/specs/netdev.yaml. */
#define FAMILY "netdev"
enum { DEV_GET = 1 };
enum { DEV_IFINDEX = 1, DEV_XDP_FEATURES = 3 };
#define XDP_ACT_NDO_XMIT (1U << 2)

struct wanted {
	uint16_t type; /* of the attribute */
	bool found;
	uint64_t value;
};

static int read_attribute(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute;
	struct wanted *wanted = context;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(attribute) != wanted->type)
			continue;
		wanted->found = true;
		wanted->value = mnl_attr_get_payload_len(attribute) == sizeof(uint64_t) ? mnl_attr_get_u64(attribute)
											: mnl_attr_get_u16(attribute);
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *header;

	message->nlmsg_type = family;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = 1;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->cmd = command;
	header->version = 1;
	return message;
}

/* Sends @request, which is in @buffer, and reads its answer there. 0 or -errno. */
static int exchange(struct mnl_socket *socket, char *buffer, struct nlmsghdr *request, struct wanted *ret)
{
	int more = MNL_CB_OK;
	ssize_t length;

	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		length = mnl_socket_recvfrom(socket, buffer, BUFFER_BYTES);
		more = length < 0 ? -1
				  : mnl_cb_run(buffer, length, 1, mnl_socket_get_portid(socket), read_attribute, ret);
		if (more < 0)
			return -errno;
	}
	return ret->found ? 0 : -ENODATA;
}

static int ask(struct mnl_socket *socket, char *buffer, uint32_t ifindex, uint64_t *ret_features)
{
	struct wanted family = {.type = CTRL_ATTR_FAMILY_ID}, features = {.type = DEV_XDP_FEATURES};
	struct nlmsghdr *request = begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	int error;

	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, FAMILY);
	error = exchange(socket, buffer, request, &family);
	if (error)
		return error;
	request = begin(buffer, family.value, DEV_GET);
	mnl_attr_put_u32(request, DEV_IFINDEX, ifindex);
	error = exchange(socket, buffer, request, &features);
	if (!error)
		*ret_features = features.value;
	return error;
}

bool mirror_way_takes_frames(uint32_t ifindex)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	_cleanup_free_ char *buffer = malloc(BUFFER_BYTES);
	uint64_t features = 0;
	bool knows;

	if (!socket)
		return true;
	knows = buffer && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
		ask(socket, buffer, ifindex, &features) == 0;
	mnl_socket_close(socket);
	return !knows || features & XDP_ACT_NDO_XMIT;
}
