/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_VARIANT_TABLES_H
#define HEADGATE_VARIANT_TABLES_H

/*
 * The tables of variants by themselves, slot -> backend id: kept until their backends change, so that who is given
 * weight needs no new one. 256 KiB each; of more than VARIANT_TABLES_MAX the others are computed each time.
 */
#include "splitter.h"

#define VARIANT_TABLES_MAX 256U

/**
 * variant_table - the table of a variant over its backends that are in rotation
 * @service: id
 * @s, @v: the variant in a model
 * @ids: [backend_count] of its backends
 *
 * Return: [SLOTS], good until the next call, all 0 when nobody is in rotation; NULL: out of memory.
 */
const uint32_t *variant_table(struct splitter *sp, uint32_t service, const struct service_model *s, size_t v,
			      const uint32_t *ids);

/* Computes one table that is kept and does not exist yet. False: there is none. */
bool variant_tables_warm(struct splitter *sp);

/* Those of a service; of one of its variants. */
void variant_tables_forget(struct splitter *sp, uint32_t service);
void variant_tables_forget_one(struct splitter *sp, uint32_t service, uint32_t index);

#endif
