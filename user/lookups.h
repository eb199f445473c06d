/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_LOOKUPS_H
#define HEADGATE_LOOKUPS_H

/*
 * The small maps by which programs find a service or a backend otherwise than by a service's address and port: who
 * answers, what has an address, whose a QUIC server id is.
 */
#include "splitter.h"

/* Writes, or takes away, who answers from a backend's address, as its service's mode wants; sets its endpoint. 0 or
 * -errno. */
int lookups_write_origin(struct splitter *sp, uint32_t backend);

/**
 * lookups_refresh - make addresses and server ids those of a model that is in force otherwise
 *
 * A server id that is in several variants is the lowest backend id's. Those of a backend that is leaving are kept until
 * it is gone, as its connections are not over.
 * Return: 0 or -errno.
 */
int lookups_refresh(struct splitter *sp, const struct model *model);

/* Forgets a backend whose id is about to be free. */
void lookups_forget_backend(struct splitter *sp, uint32_t backend);

#endif
