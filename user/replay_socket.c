// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "replay_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "util.h"

#define SEND_BUFFER_BYTES 262144 /* the rest waits in memory that is limited for all of them together */
#define UNACKNOWLEDGED_MS 30000U
#define TIMESTAMP_BYTES 12U

static socklen_t fill(const struct address *address, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in ipv4 = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = address->word[3],
	};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (address_is_ipv4(address)) {
		memcpy(ret, &ipv4, sizeof(ipv4));
		return sizeof(ipv4);
	}
	memcpy(&ipv6.sin6_addr, address, sizeof(ipv6.sin6_addr));
	memcpy(ret, &ipv6, sizeof(ipv6));
	return sizeof(ipv6);
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int bind_to(int fd, const struct address *source)
{
	struct sockaddr_storage name;
	socklen_t size = fill(source, 0, &name);
	/* The port is chosen by connect(), so that one can be in use towards several shadows. */
	int error = set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);

	if (error)
		return error;
	return bind(fd, (struct sockaddr *)&name, size) ? -errno : 0;
}

int replay_socket_connect(const struct endpoint *to, const struct address *source, uint8_t traffic_class)
{
	bool ipv4 = address_is_ipv4(&to->address);
	_cleanup_close_ int fd =
		socket(ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	struct sockaddr_storage name;
	socklen_t size = fill(&to->address, to->port, &name);
	int error;

	if (fd < 0)
		return -errno;
	error = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!error)
		error = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
	if (!error)
		error = set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
	if (!error && traffic_class)
		error = ipv4 ? set(fd, IPPROTO_IP, IP_TOS, traffic_class)
			     : set(fd, IPPROTO_IPV6, IPV6_TCLASS, traffic_class);
	if (!error && !address_is_zero(source))
		error = bind_to(fd, source);
	if (!error && connect(fd, (struct sockaddr *)&name, size) && errno != EINPROGRESS)
		error = -errno;
	return error ?: TAKE_FD(fd);
}

int replay_socket_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

bool replay_socket_is_acknowledged(int fd)
{
	int waiting;

	return ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

void replay_socket_count(int fd, bool ipv6, struct shadow_counters *c)
{
	struct tcp_info info = {};
	socklen_t size = sizeof(info);
	uint64_t headers;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		return;
	headers = (ipv6 ? 40 : 20) + 20 + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? TIMESTAMP_BYTES : 0);
	c->packets += info.tcpi_segs_out;
	c->bytes += info.tcpi_bytes_sent + info.tcpi_segs_out * headers;
	c->repaired += info.tcpi_total_retrans;
}

void replay_socket_reset(int fd)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}
