/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ADDRESS_H
#define HEADGATE_ADDRESS_H

#include <linux/types.h>
#include <stdbool.h>

#include "abi.h"

#define ADDRESS_TEXT_SIZE 64 /* fits any text these functions write, "[v6]:port" and "v6/128" included */

/* An address and a port in host byte order. */
struct endpoint {
	struct address address;
	__u16 port;
};

/* A prefix in mapped form: an IPv4 /16 has bits = 96 + 16. Bits beyond the prefix are zero. */
struct prefix {
	struct address address;
	__u32 bits; /* 0..128 */
};

bool address_is_ipv4(const struct address *a);
bool address_equal(const struct address *a, const struct address *b);
bool address_is_zero(const struct address *a); /* all 16 bytes zero, as in a struct never set */

/**
 * address_parse - read "10.0.0.1" or "fd00::1" (no brackets, no prefix, no zone)
 * Return: 0, or -EINVAL with @ret untouched.
 */
int address_parse(const char *text, struct address *ret);

/* "10.0.0.1:80" or "[fd00::1]:80"; port 1..65535. 0 or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret);

/* "10.9.0.0/16", "fd00::/8", or an address alone (a host prefix). Host bits set: -EINVAL, as it is a likely slip. */
int prefix_parse(const char *text, struct prefix *ret);

/* True when one contains the other (equal ones included). */
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
bool prefix_contains(const struct prefix *p, const struct address *a);
bool prefix_equal(const struct prefix *a, const struct prefix *b);

/* Each writes at most ADDRESS_TEXT_SIZE bytes and returns @text. */
const char *address_format(const struct address *a, char text[ADDRESS_TEXT_SIZE]);
const char *endpoint_format(const struct address *a, __u16 port, char text[ADDRESS_TEXT_SIZE]);
const char *prefix_format(const struct prefix *p, char text[ADDRESS_TEXT_SIZE]);

#endif
