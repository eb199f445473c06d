// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_kick.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int shadow_kick_open(void)
{
	/* Of protocol 0: it receives nothing. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int shadow_kick_send(int fd, uint32_t mirror, const struct mirror_kick *kick)
{
	const struct {
		struct ether_header ethernet;
		struct mirror_kick kick;
	} __attribute__((packed)) frame = {
		.ethernet = {.ether_dhost = {MIRROR_MAC_FIRST, MIRROR_MAC_SECOND, MIRROR_MAC_THIRD, MIRROR_KICK,
					     kick->flow.service >> 8, kick->flow.service & 0xff},
			     .ether_type = htons(ETHERTYPE_IP)},
		.kick = *kick,
	};
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE_IP),
		.sll_ifindex = (int)mirror,
		.sll_halen = ETH_ALEN,
	};

	if (sendto(fd, &frame, sizeof(frame), 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}
