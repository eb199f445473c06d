/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_EARLY_H
#define HEADGATE_EARLY_H

/*
 * Fragments that came before their datagram's first one: taken from the data path, held for a moment, and made to come
 * in again on the interface that they came in on.
 *
 * They come in by a test run of an XDP program with live frames (Linux 5.18), which carries out what the program says,
 * XDP_PASS as well: no device of ours is needed. Where a program runs natively it is that one. Elsewhere it is one that
 * passes everything, and the frame then meets generic XDP and TC on its way up, like any other.
 */
#include <stdbool.h>
#include <stdint.h>

#include "datapath.h"

struct early;

struct early_counts {
	uint64_t resent;  /* have come in again */
	uint64_t dropped; /* could not, or were left by a daemon before this one */
};

/* 0 or -errno. What is in the ring buffer has waited too long, and is dropped. */
int early_create(struct datapath *dp, struct early **ret);
void early_destroy(struct early *e); /* accepts NULL; before the data path's close */
DEFINE_CLEANUP(struct early, early_destroy)

/* Readable when there is something to take. */
int early_fd(const struct early *e);

/* Takes what there is, as far as there is room. False: there is no room for more until some have been sent. */
bool early_take(struct early *e, uint64_t now_ns);

/* Has a few of those whose time has come come in again. */
void early_send(struct early *e, uint64_t now_ns);

/* When the next is due; UINT64_MAX: none is held. */
uint64_t early_next_ns(const struct early *e);

struct early_counts early_counts(const struct early *e);

#endif
