/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_FIGURES_H
#define HEADGATE_FIGURES_H

/* What was measured, read from the kernel: of one backend id, and of a variant with those that are gone. */
#include <jansson.h>

#include "measure.h"
#include "splitter.h"

/* 0 or -errno. */
int figures_of_backend(struct splitter *sp, uint32_t id, struct measured *ret);

/* All of a variant: backends of now, those that drain, and what is remembered of those that are gone. */
int figures_of_variant(struct splitter *sp, const struct service_model *s, const char *variant, struct measured *ret);

/* Connections that one measured one stands for: 1 where all are measured. */
uint32_t figures_scale(const struct service_model *s);

/* The "measured" object of docs/api.md; NULL for a service that has none. */

json_t *figures_report(const struct service_model *s, const struct measured *m);

#endif
