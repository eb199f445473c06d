/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_ORACLE_H
#define HEADGATE_TEST_ORACLE_H

/*
 * Judges what became of any frame in the world of world.h, from what the frame says and from what has become of the
 * fragments before it. Of flows it knows nothing: a NAT service may drop what it does not know.
 */
#include "world.h"

struct oracle;

struct oracle *oracle_new(struct fixture *f);
void oracle_free(struct oracle *o);

/* Forgets fragments; to be called when the programs' maps have been emptied. */
void oracle_forget(struct oracle *o);

/* NULL, or what is wrong with how @in ended. */
const char *oracle_judge(struct oracle *o, const struct frame *in, const struct frame *out, enum outcome outcome);

#endif
