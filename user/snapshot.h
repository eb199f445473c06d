/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_SNAPSHOT_H
#define HEADGATE_SNAPSHOT_H

#include "daemon.h"
#include "metrics.h"

/* What runs, as a page for Prometheus; @ret_text is to be freed. 0 or -errno. */
int snapshot_render(struct daemon *d, char **ret_text, size_t *ret_length);

#endif
