/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_RELEASE_H
#define HEADGATE_RELEASE_H

/* What a whole sweep allows to let go: tracked slots and cohort rules that have drained, ids that nothing uses. */
#include <stdint.h>

struct splitter;

/* Settles what may settle; @began_s is when the sweep began, since only its findings count. */
void release_settled(struct splitter *sp, uint32_t began_s);

/* Frees ids of backends that left and have neither flow nor slot; their counts are remembered under their variant. */
void release_backends(struct splitter *sp);

void release_services(struct splitter *sp);

#endif
