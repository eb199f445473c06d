/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MIRROR_LINK_H
#define HEADGATE_MIRROR_LINK_H

/*
 * The mirror: a veth pair in this network namespace. What the hooks copy goes in at the near end, and is worked on at
 * the far one. Nothing else is on it: no addresses, no neighbours.
 */
#include <stdbool.h>
#include <stdint.h>

#define MIRROR_NEAR "hg-mirror"
#define MIRROR_FAR "hg-shadows"
#define MIRROR_MTU 9216

struct mirror_link {
	uint32_t near; /* ifindexes */
	uint32_t far;
	bool up; /* both ends */
};

/* 0; -ENOENT: there is none; -EEXIST: an interface of that name is something else; -errno. */
int mirror_link_find(struct mirror_link *ret);

/* Makes the pair, down, with as many queues as there are CPUs. 0 or -errno. */
int mirror_link_make(struct mirror_link *ret);

/* Turns off what veth would leave undone of a frame that a program takes over, and brings both ends up. 0 or -errno. */
int mirror_link_set_up(const struct mirror_link *link);

/* To be called when a program is at the far end: before Linux 6.9 veth turns merging (GRO) on with one, and what is
 * copied segment by segment would come out in lumps. 0 or -errno. */
int mirror_link_turn_off_merging(void);

int mirror_link_delete(const struct mirror_link *link);

#endif
