/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DATAPATH_PARTS_H
#define HEADGATE_DATAPATH_PARTS_H

/* What datapath.c and datapath_load.c share. */
#include "attach.h"
#include "datapath.h"
#include "headgate.skel.h"
#include "known.h"
#include "program_pins.h"

struct datapath {
	struct headgate_bpf *skeleton;
	char *pins;
	int lock; /* of the pins' folder: one daemon at a time */
	bool adopted;
	struct limits limits;
	int cpu_count;
	int map_fd[DATAPATH_MAPS];
	int program_fd[ENTRY_PROGRAMS];
	/* Mapped arrays and their lengths in bytes. */
	struct service *services;
	struct backend *backends;
	struct row *rows;
	struct shadow *shadows;
	struct shadow_guard *guard;
	struct known_ends *known_ends;
	struct known known; /* what is set there */
	struct shadow_counters *replay_counters;
	struct flow_tables flow_tables;
};

/* Bytes of an array that is mapped, with room for ids 0..n: id 0 is never used. */
size_t datapath_array_bytes(size_t value_bytes, uint32_t entries);

/* Whose a key of MAP_VIPS or MAP_REPLY_ORIGINS is, as known_add() takes it. A shadow's end is nobody's to speed up. */
static inline uint32_t datapath_name_of_end(enum datapath_map map, const void *value)
{
	const struct reply_origin *origin = value;
	const uint32_t *service = value;

	if (map == MAP_VIPS)
		return *service < END_BACKEND ? *service : 0;
	if (origin->backend >= END_ENDPOINT || (origin->mode != FORWARD_NAT && origin->mode != FORWARD_DNAT))
		return 0;
	return END_BACKEND | (origin->mode == FORWARD_DNAT ? END_DNAT : 0) | origin->backend;
}

/**
 * datapath_load - maps and programs: adopted, or loaded afresh
 * @dp: its folder is prepared, and whether to adopt what is there is known
 * @limits: as for datapath_open()
 * Return: 0 or -errno with @why.
 */
int datapath_load(struct datapath *dp, const struct limits *limits, struct refusal *why);

void datapath_unmap_flow_tables(struct datapath *dp);

/* A chain_loader: XDP programs that chain, in an object of their own, that shares all maps but two with the others. */
int datapath_load_chain(void *context, const struct program_kind *kind, struct chain_maps *maps, int *ret_program);

#endif
