/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_USER_MIRROR_H
#define HEADGATE_USER_MIRROR_H

/*
 * The mirror with its programs at the far end, and by which ways out XDP copies to it. Like the data path it stays when
 * the daemon goes, and the next one takes it over.
 */
#include "datapath.h"

/* What the kernel knows of it. */
struct mirror {
	uint32_t near;                     /* ifindex; 0: there is none, or it is not whole */
	uint32_t way_out[MIRROR_WAYS_MAX]; /* ifindexes of ways out by which XDP copies to it */
	size_t way_out_count;
	bool known; /* the rest is as it is: not so before the first mirror_ensure() */
};

/**
 * mirror_ensure - the mirror is there and whole, and the hooks know of it
 * @m: zeroed before the first call
 * @pins: by which it is told whether what is there is ours
 * @ways_out: [count]: ifindexes of interfaces by which XDP may send a packet with a copy
 * @native: every interface takes frames from XDP programs, so that those at the far end may send by it
 *
 * Made where it is missing (it may have been deleted), taken over where it is there. Little is done where nothing is
 * wrong. Return: 0 or -errno with @why; then nothing is copied, and all else goes on.
 */
int mirror_ensure(struct mirror *m, struct datapath *dp, const char *pins, const uint32_t *ways_out, size_t count,
		  bool native, struct refusal *why);

/* Deletes the mirror if it is ours. 0 or -errno. */
int mirror_remove(const char *pins);

#endif
