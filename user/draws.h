/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DRAWS_H
#define HEADGATE_DRAWS_H

/* Random numbers that are the same in every run. */
#include <stdint.h>

struct draws {
	uint64_t state;
};

void draws_begin(struct draws *d, uint64_t seed);
double draw_uniform(struct draws *d); /* between 0 and 1, never either */
double draw_normal(struct draws *d);  /* mean 0, standard deviation 1 */
uint64_t draw_poisson(struct draws *d, double mean);
uint64_t draw_binomial(struct draws *d, uint64_t trials, double share);

#endif
