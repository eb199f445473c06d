/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ERRANDS_H
#define HEADGATE_ERRANDS_H

/*
 * What takes long and needs nothing of the daemon, done in threads of their own: whoever asks for it must not keep a
 * rollback waiting.
 */
#include <systemd/sd-event.h>

#include "util.h"

struct errands;

#define ERRANDS_MAX 4U /* at a time */

int errands_create(sd_event *event, struct errands **ret); /* 0 or -errno */
void errands_destroy(struct errands *e);                   /* waits for all, without a call; accepts NULL */
DEFINE_CLEANUP(struct errands, errands_destroy)

/* In a thread. Frees @input. Text to be freed, or NULL: it failed. */
typedef char *(*errand_function)(void *input);
/* In the event loop. Takes @text over. */
typedef void (*errand_done_function)(void *context, char *text);

/* 0, or -errno with nothing called or freed: -EBUSY when as many are under way as may be. */
int errands_start(struct errands *e, errand_function work, void *input, errand_done_function done, void *context);

#endif
