/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_VIEW_H
#define HEADGATE_VIEW_H

/* Parts of a service that more than one subcommand shows. */
#include <jansson.h>

#include "render.h"
#include "tool.h"

/* Prints a listing on stdout; complains when there was no memory for it. */
void view_listing(const struct listing *l);

/* Five cells: opened, then packets and bytes from clients and from servers, of a variant or backend. */
void view_add_traffic(struct listing *l, const json_t *counted);
#define VIEW_TRAFFIC_HEADINGS ">OPENED", ">CLIENT PACKETS", ">CLIENT BYTES", ">SERVER PACKETS", ">SERVER BYTES"

/* "NAME: 6554 of 65536 slots are tracked and settle in 9m53s", or nothing when none is tracked. */
void view_tracked(const json_t *service);

/* "NAME: dropped: ttl 3, no_flow 4", or nothing. */
void view_drops(const json_t *service);

/* The answer to a change of weights. */
void view_change(const struct invocation *call, const json_t *body);

/* Cohorts of @services, an array; says so when there is none. */
void view_cohorts(const json_t *services);

#endif
