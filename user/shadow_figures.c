// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shadow_figures.h"

#include <errno.h>

int shadow_figures(struct splitter *sp, uint32_t service, struct shadow_counters *ret)
{
	return datapath_shadow_counters(sp->datapath, service, ret);
}

uint64_t shadow_figures_ended(const struct shadow_counters *c)
{
	uint64_t ended = 0;

	for (size_t end = 0; end < SHADOW_ENDS; end++)
		ended += c->ended[end];
	return ended;
}

int shadow_figures_coverage(const struct shadow_counters *c, uint64_t mirroring, double *ret)
{
	uint64_t whole = c->ended[SHADOW_WHOLE], done;

	if (c->eligible <= mirroring)
		return -ENODATA;
	done = c->eligible - mirroring;
	*ret = whole < done ? (double)whole / done : 1; /* the programs go on while all this is read */
	return 0;
}
