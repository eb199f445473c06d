// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netlink_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)

/* Sets @ret only if the attribute holds a whole address of the family. */
static void read_address(const struct nlattr *attribute, int family, struct address *ret)
{
	struct address a = {};

	if (family == AF_INET && mnl_attr_get_payload_len(attribute) == 4) {
		a.word[2] = htonl(0xffff);
		memcpy(&a.word[3], mnl_attr_get_payload(attribute), 4);
		*ret = a;
	} else if (family == AF_INET6 && mnl_attr_get_payload_len(attribute) == sizeof(a)) {
		memcpy(ret, mnl_attr_get_payload(attribute), sizeof(a));
	}
}

/* Length of a mapped prefix. */
static uint32_t mapped_bits(int family, uint32_t bits)
{
	return family == AF_INET ? 96 + bits : bits;
}

/* @array with room for one more than @count, or NULL (and @array as it was). Capacity is @count's next power of two. */
static void *array_grow(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return reallocarray(array, count ? 2 * count : 1, size);
}

/* Appends to @array, whose length is @count; 0 or -ENOMEM. */
#define ARRAY_APPEND(array, count, item)                                                                               \
	({                                                                                                             \
		__typeof__(array) _grown = array_grow((array), (count), sizeof(*(array)));                             \
		if (_grown) {                                                                                          \
			(array) = _grown;                                                                              \
			(array)[(count)++] = (item);                                                                   \
		}                                                                                                      \
		_grown ? 0 : -ENOMEM;                                                                                  \
	})

static bool is_vlan(const struct nlattr *info)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			return !mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) &&
			       !strcmp(mnl_attr_get_str(attribute), "vlan");
	}
	return false;
}

static int store_link(struct routes *r, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct link_info link = {
		.ifindex = header->ifi_index,
		/* RUNNING is carrier, as far as the driver tells. */
		.up = (header->ifi_flags & IFF_UP) && (header->ifi_flags & IFF_RUNNING),
	};
	bool vlan = false, elsewhere = false;
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_IFNAME:
			snprintf(link.name, sizeof(link.name), "%s", mnl_attr_get_str(attribute));
			break;
		case IFLA_MTU:
			link.mtu = mnl_attr_get_u32(attribute);
			break;
		case IFLA_ADDRESS:
			if (header->ifi_type == ARPHRD_ETHER && mnl_attr_get_payload_len(attribute) == sizeof(link.mac))
				memcpy(link.mac, mnl_attr_get_payload(attribute), sizeof(link.mac));
			break;
		case IFLA_LINK: /* of many kinds, each with a meaning of its own */
			link.lower = mnl_attr_get_u32(attribute);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true;
			break;
		case IFLA_LINKINFO:
			vlan = is_vlan(attribute);
			break;
		}
	}
	/* Elsewhere: in another network namespace, where the number means another link. */
	if (!vlan || elsewhere)
		link.lower = 0;
	return ARRAY_APPEND(r->links, r->link_count, link);
}

static int store_address(struct routes *r, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct local_address local = {
		.ifindex = header->ifa_index,
		.bits = mapped_bits(header->ifa_family, header->ifa_prefixlen),
	};
	uint32_t flags = header->ifa_flags;
	struct address own = {}, peer = {};
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case IFA_LOCAL:
			read_address(attribute, header->ifa_family, &own);
			break;
		case IFA_ADDRESS: /* the other end of a point-to-point link; without IFA_LOCAL, our own */
			read_address(attribute, header->ifa_family, &peer);
			break;
		case IFA_FLAGS:
			flags = mnl_attr_get_u32(attribute);
			break;
		}
	}
	local.address = address_is_zero(&own) ? peer : own;
	/* A tentative address is not answered for yet; the end of duplicate detection is a change of its own. */
	if (address_is_zero(&local.address) || (flags & IFA_F_TENTATIVE && !(flags & IFA_F_OPTIMISTIC)))
		return 0;
	return ARRAY_APPEND(r->addresses, r->address_count, local);
}

/* An IPv4 route's gateway of either family (RFC 5549). */
static void read_via(const struct nlattr *attribute, struct address *ret)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t length = mnl_attr_get_payload_len(attribute);
	struct address a = {};

	if (length < sizeof(*via))
		return;
	length -= sizeof(*via);
	if (via->rtvia_family == AF_INET6 && length == sizeof(a)) {
		memcpy(ret, via->rtvia_addr, sizeof(a));
	} else if (via->rtvia_family == AF_INET && length == 4) {
		a.word[2] = htonl(0xffff);
		memcpy(&a.word[3], via->rtvia_addr, 4);
		*ret = a;
	}
}

/* What a route and each next hop of a multipath route have in common. */
static void read_hop_attribute(const struct nlattr *attribute, int family, struct route_info *route, bool *encapsulated)
{
	switch (mnl_attr_get_type(attribute)) {
	case RTA_GATEWAY:
		read_address(attribute, family, &route->gateway);
		break;
	case RTA_VIA:
		read_via(attribute, &route->gateway);
		break;
	case RTA_ENCAP_TYPE:
		*encapsulated = true;
		break;
	}
}

/* The first next hop that can be used; where there is none, the route is left without an interface. */
static void read_multipath(const struct nlattr *hops, int family, struct route_info *route, bool *encapsulated)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(hops);
	int left = mnl_attr_get_payload_len(hops);
	const struct nlattr *attr; /* the name that libmnl's macro asks for */

	for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		if (hop->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN))
			continue;
		route->ifindex = hop->rtnh_ifindex;
		mnl_attr_for_each_payload((const void *)RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop))
			read_hop_attribute(attr, family, route, encapsulated);
		return;
	}
}

/* The table a route is in; the attribute has room for numbers above 255. */
static uint32_t route_table(const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == RTA_TABLE)
			return mnl_attr_get_u32(attribute);
	}
	return header->rtm_table;
}

static bool is_main_table(const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);

	return route_table(message) == RT_TABLE_MAIN && !(header->rtm_flags & RTM_F_CLONED) &&
	       (header->rtm_family == AF_INET || header->rtm_family == AF_INET6);
}

static int store_route(struct routes *r, const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	int family = header->rtm_family;
	struct route_info route = {.destination.bits = mapped_bits(family, header->rtm_dst_len)};
	const struct nlattr *attribute;
	bool encapsulated = false;

	/* Routes by TOS or source are for some packets only. Dead: the kernel passes it over, told to by a sysctl. */
	if (!is_main_table(message) || header->rtm_type != RTN_UNICAST || header->rtm_tos || header->rtm_src_len ||
	    header->rtm_flags & RTNH_F_DEAD)
		return 0;
	if (family == AF_INET)
		route.destination.address.word[2] = htonl(0xffff);
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_DST:
			read_address(attribute, family, &route.destination.address);
			break;
		case RTA_OIF:
			route.ifindex = mnl_attr_get_u32(attribute);
			break;
		case RTA_PRIORITY:
			route.metric = mnl_attr_get_u32(attribute);
			break;
		case RTA_PREFSRC:
			read_address(attribute, family, &route.preferred_source);
			break;
		case RTA_MULTIPATH:
			read_multipath(attribute, family, &route, &encapsulated);
			break;
		default:
			read_hop_attribute(attribute, family, &route, &encapsulated);
		}
	}
	/* No interface: no usable next hop, or a nexthop object that this kernel does not spell out. */
	if (!route.ifindex || encapsulated)
		return 0;
	return ARRAY_APPEND(r->routes, r->route_count, route);
}

static bool is_ip_neighbour(const struct nlmsghdr *message)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);

	return header->ndm_family == AF_INET || header->ndm_family == AF_INET6; /* a bridge's MAC table is not */
}

static int store_neighbour(struct routes *r, const struct nlmsghdr *message)
{
	static const uint8_t no_mac[6];
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct neighbour_info neighbour = {
		.ifindex = header->ndm_ifindex,
		.stale = header->ndm_state & NUD_STALE,
	};
	const struct nlattr *attribute;

	if (!is_ip_neighbour(message) || !(header->ndm_state & NUD_USABLE) || header->ndm_flags & NTF_PROXY)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case NDA_DST:
			read_address(attribute, header->ndm_family, &neighbour.address);
			break;
		case NDA_LLADDR:
			if (mnl_attr_get_payload_len(attribute) == sizeof(neighbour.mac))
				memcpy(neighbour.mac, mnl_attr_get_payload(attribute), sizeof(neighbour.mac));
			break;
		}
	}
	if (address_is_zero(&neighbour.address) || !memcmp(neighbour.mac, no_mac, sizeof(no_mac)))
		return 0;
	return ARRAY_APPEND(r->neighbours, r->neighbour_count, neighbour);
}

int netlink_message_store(struct routes *r, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
		return store_link(r, message);
	case RTM_NEWADDR:
		return store_address(r, message);
	case RTM_NEWROUTE:
		return store_route(r, message);
	case RTM_NEWNEIGH:
		return store_neighbour(r, message);
	default:
		return 0;
	}
}

bool netlink_message_is_change(const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return true;
	case RTM_NEWROUTE: /* of any type: a blackhole may have replaced a route */
	case RTM_DELROUTE:
		return is_main_table(message);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return is_ip_neighbour(message);
	default:
		return false;
	}
}
