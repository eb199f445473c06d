// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define IPV4_PREFIX_BITS 96 /* of ::ffff:0:0/96, where IPv4 addresses are mapped */

_Static_assert(sizeof(struct address) == sizeof(struct in6_addr), "an address is 16 bytes");

bool address_is_ipv4(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == htonl(0xffff);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool address_is_zero(const struct address *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

int address_parse(const char *text, struct address *ret)
{
	struct address a = {};

	if (inet_pton(AF_INET, text, &a.word[3]) == 1) {
		a.word[2] = htonl(0xffff);
	} else if (inet_pton(AF_INET6, text, &a) != 1 || address_is_ipv4(&a)) {
		/* One address has one text: ::ffff:1.2.3.4 is written 1.2.3.4. */
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	char host[ADDRESS_TEXT_SIZE];
	struct endpoint e = {};
	uint32_t port;
	size_t length;
	bool brackets;

	if (!colon || text_number(colon + 1, UINT16_MAX, &port) || !port)
		return -EINVAL;
	length = colon - text;
	brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	if (brackets) {
		text++;
		length -= 2;
	}
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	/* IPv6 without brackets is ambiguous: fd00::1:80 is an address too. */
	if (address_parse(host, &e.address) || address_is_ipv4(&e.address) == brackets)
		return -EINVAL;
	e.port = port;
	*ret = e;
	return 0;
}

/* The mask of one of an address' four words, network byte order. */
static __u32 word_mask(__u32 bits, int word)
{
	int left = (int)bits - word * 32;

	if (left <= 0)
		return 0;
	return left >= 32 ? UINT32_MAX : htonl(UINT32_MAX << (32 - left));
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchrnul(text, '/');
	char host[ADDRESS_TEXT_SIZE];
	struct prefix p = {.bits = 128};
	size_t length = slash - text;

	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (address_parse(host, &p.address))
		return -EINVAL;
	if (*slash) {
		uint32_t offset = address_is_ipv4(&p.address) ? IPV4_PREFIX_BITS : 0;

		if (text_number(slash + 1, 128 - offset, &p.bits))
			return -EINVAL;
		p.bits += offset;
	}
	for (int i = 0; i < 4; i++) {
		if (p.address.word[i] & ~word_mask(p.bits, i))
			return -EINVAL;
	}
	*ret = p;
	return 0;
}

bool prefix_contains(const struct prefix *p, const struct address *a)
{
	for (int i = 0; i < 4; i++) {
		if ((p->address.word[i] ^ a->word[i]) & word_mask(p->bits, i))
			return false;
	}
	return true;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->bits <= b->bits ? prefix_contains(a, &b->address) : prefix_contains(b, &a->address);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && address_equal(&a->address, &b->address);
}

/* Reports name thousands of IPv4 backends, and inet_ntop() and snprintf() are slow. Returns the end. */
static char *put_number(char *at, uint32_t number)
{
	char digits[10];
	size_t count = 0;

	do
		digits[count++] = '0' + number % 10;
	while (number /= 10);
	while (count)
		*at++ = digits[--count];
	return at;
}

static char *put_ipv4(char *at, const struct address *a)
{
	uint32_t word = ntohl(a->word[3]);

	for (int shift = 24; shift >= 0; shift -= 8) {
		at = put_number(at, word >> shift & 0xff);
		*at++ = '.';
	}
	return at - 1;
}

const char *address_format(const struct address *a, char text[ADDRESS_TEXT_SIZE])
{
	if (address_is_ipv4(a))
		*put_ipv4(text, a) = '\0';
	else
		inet_ntop(AF_INET6, a, text, ADDRESS_TEXT_SIZE);
	return text;
}

const char *endpoint_format(const struct address *a, __u16 port, char text[ADDRESS_TEXT_SIZE])
{
	char host[ADDRESS_TEXT_SIZE], *at;

	if (address_is_ipv4(a)) {
		at = put_ipv4(text, a);
		*at++ = ':';
		*put_number(at, port) = '\0';
	} else {
		address_format(a, host);
		snprintf(text, ADDRESS_TEXT_SIZE, "[%.45s]:%u", host, port);
	}
	return text;
}

const char *prefix_format(const struct prefix *p, char text[ADDRESS_TEXT_SIZE])
{
	char host[ADDRESS_TEXT_SIZE];

	address_format(&p->address, host);
	snprintf(text, ADDRESS_TEXT_SIZE, "%.45s/%u", host,
		 address_is_ipv4(&p->address) ? p->bits - IPV4_PREFIX_BITS : p->bits);
	return text;
}
