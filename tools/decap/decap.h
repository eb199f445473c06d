/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DECAP_TOOL_H
#define HEADGATE_DECAP_TOOL_H

/*
 * headgate-decap: puts the decapsulating program on an interface of a backend and ends. What stays is pinned in bpffs:
 *
 *	PINS/IFACE/link        XDP: the program runs for as long as this file is there
 *	PINS/IFACE/filter      TC: the program, to know the filter by
 *	PINS/IFACE/settings .. the maps
 */
#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "decap_abi.h"
#include "refusal.h"

#define DECAP_PINS_DEFAULT "/sys/fs/bpf/headgate-decap"
#define DECAP_PORT_DEFAULT 6080
#define DECAP_PREFIXES_MAX 1024 /* of each kind, as many as the maps hold */

enum decap_mode {
	MODE_AUTO, /* native, and tc where the driver has no XDP */
	MODE_NATIVE,
	MODE_GENERIC,
	MODE_TC,
	MODE_NONE, /* pinned, but on no interface any more */
	MODES
};

/* Addresses are prefixes of 128 bits. */
struct prefixes {
	struct prefix item[DECAP_PREFIXES_MAX];
	size_t count;
};

struct decap {
	char interface[IF_NAMESIZE];
	enum decap_mode mode;
	uint16_t port;             /* host byte order */
	struct prefixes vips;      /* inner destinations */
	struct prefixes addresses; /* outer destinations */
	struct prefixes sources;   /* outer sources; none: any */
	uint64_t outcome[DECAP_OUTCOMES];
};

/**
 * decap_attach - put the program on an interface, or replace the one of ours that is there without a gap
 * @d: what is wanted; without addresses it gets those of the interface, and a mode instead of MODE_AUTO
 * Counters of a program that is replaced go on. Return: 0 or -errno with @why.
 */
int decap_attach(const char *pins, struct decap *d, struct refusal *why);

/* Take it off, with all that is pinned. -ENOENT: it is not there. */
int decap_detach(const char *pins, const char *interface, struct refusal *why);

/* What is in force on @interface, counters included. -ENOENT: nothing. */
int decap_read(const char *pins, const char *interface, struct decap *ret);

/* Calls @each for every interface that has pins, in no order. 0, -ENOENT (no folder), or what @each returned first. */
int decap_each(const char *pins, int (*each)(const char *interface, void *context), void *context);

/* What this host lacks to make use of what is decapsulated: an array of sentences. NULL: out of memory. */
json_t *host_hints(const struct decap *d);

/* Adds the interface's own addresses, VIPs and link-local ones apart, as outer addresses. 0 or -errno with @why. */
int host_addresses(struct decap *d, struct refusal *why);

bool prefixes_add(struct prefixes *list, const struct prefix *p); /* false: full */
bool prefixes_have(const struct prefixes *list, const struct address *a);

const char *name_of_mode(enum decap_mode mode);
const char *name_of_outcome(enum decap_outcome outcome); /* "gue_version" */

/* Both print every interface. The array has objects as decap_json() makes them. */
json_t *decap_json(const struct decap *d);
void print_table(const json_t *interfaces);

#endif
