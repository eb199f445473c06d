/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_INTERFACES_H
#define HEADGATE_INTERFACES_H

/* The daemon's interfaces: which are there, how the programs run on each, and why so. */
#include "daemon.h"

/* Refuses a model with interfaces that this host does not have. 0 or -errno. */
int interfaces_check(const struct daemon *d, const struct model *model, struct refusal *why);

/* Lets packets leave by the interfaces of @model, and of @also (may be NULL) while both are in use. */
void interfaces_may_send(struct daemon *d, const struct model *model, const struct model *also);

/* Attaches all of @model that can be, whatever becomes of one. 0 or the first -errno with @why. */
int interfaces_attach(struct daemon *d, const struct model *model, struct refusal *why);

/* Detaches all that @model does not name. */
void interfaces_detach_others(struct daemon *d, const struct model *model);

/* An interface that was made anew has another index, and no program; one that was missing may be there now. */
void interfaces_refresh(struct daemon *d);

/*
 * Where some service of @model has a shadow the mirror must be there: made, taken over, or made anew. To be called when
 * interfaces have changed, and before services do. What goes wrong is logged, and production goes on.
 */
void interfaces_mirror(struct daemon *d, const struct model *model);

#endif
