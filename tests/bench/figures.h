/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BENCH_FIGURES_H
#define HEADGATE_BENCH_FIGURES_H

/* What was measured, round by round, and what follows from it. */
#include <stdint.h>

struct figures;

struct figures *figures_new(void);
void figures_free(struct figures *f);

/**
 * figures_add - one measurement
 * @kind: stays the caller's
 * @whole_ns: of a packet
 * @wrapper_ns: of that, what is not the program's own
 */
void figures_add(struct figures *f, const char *kind, uint32_t flows, double whole_ns, double wrapper_ns);

/* The same packets through another build, right after. */
void figures_add_against(struct figures *f, const char *kind, uint32_t flows, double whole_ns, double wrapper_ns);

void figures_print(const struct figures *f);

/* {"figures": {...}, "ratios": {...}}. 0 or -errno. */
int figures_write(const struct figures *f, const char *path);

#endif
