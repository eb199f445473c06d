/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BACKENDS_H
#define HEADGATE_BACKENDS_H

/*
 * Which backend ids are in use (or leaving), and whose they are. They are kept in the order of service, variant,
 * address, port and protocol: who is looked for is found by halving, those of a variant are neighbours, and a walk
 * meets no id that is free.
 */
#include "splitter.h"

/* In the identities of shadows: no variant can have such a name. */
#define SHADOW_VARIANT "(shadow)"

struct id_list {
	const uint32_t *id;
	uint32_t count;
};

/* All of them. Good until one is taken or dropped. */
struct id_list backends_used(const struct splitter *sp);

/* One more than the highest. */
uint32_t backends_end(const struct splitter *sp);

/* Those of a variant, or (@variant NULL) of a service. */
struct id_list backends_of(const struct splitter *sp, const char *service, const char *variant);

/* Who a backend of the model is. */
struct backend_identity backends_identity(const struct service_model *s, const char *variant,
					  const struct endpoint *endpoint);

bool backends_is_shadow(const struct splitter *sp, uint32_t id);

/* 0: nobody is who is asked for. */
uint32_t backends_find(const struct splitter *sp, const struct backend_identity *who);

/* An id for who has none yet, in use from now on. 0: all are taken. */
uint32_t backends_take(struct splitter *sp, const struct backend_identity *who);

/* Gives an id back. */
void backends_drop(struct splitter *sp, uint32_t id);

/* One that nobody has becomes ID_FREE. */
void backends_free(struct splitter *sp, uint32_t id);

/* Takes over whom the kernel's identities name. 0 or -errno. */
int backends_adopt(struct splitter *sp);

#endif
