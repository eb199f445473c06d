/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MODEL_H
#define HEADGATE_MODEL_H

/*
 * What an operator wants: interfaces, services, variants, backends, cohorts. Pure: no kernel, no file, no clock.
 *
 * A model is made by config_load() and is valid as a whole; the functions below change it and keep it valid,
 * or refuse and leave it as it was.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "refusal.h"
#include "util.h"

#define WEIGHT_MAX 1000000U

enum attach_mode {
	ATTACH_AUTO, /* native, and generic where the driver has no XDP */
	ATTACH_NATIVE,
	ATTACH_GENERIC,
};

struct interface_model {
	char name[IF_NAMESIZE];
	enum attach_mode attach;
};

struct backend_model {
	struct endpoint endpoint;
	uint32_t weight; /* inside its variant, 1..WEIGHT_MAX; 1 unless configured */
};

struct variant_model {
	char name[NAME_SIZE];
	uint32_t weight; /* 0..WEIGHT_MAX, relative to the service's other variants */
	struct backend_model *backends;
	size_t backend_count;
};

struct cohort_model {
	struct prefix source;
	char variant[NAME_SIZE];
	bool by_command; /* added at run time, not by the configuration */
};

enum affinity {
	AFFINITY_CONNECTION,
	AFFINITY_CLIENT,
};

enum udp_miss {
	UDP_MISS_ENTRY,
	UDP_MISS_BASE,
};

struct service_model {
	char name[NAME_SIZE];
	struct endpoint vip;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	enum forward_mode forward;
	enum affinity affinity;
	enum udp_miss udp_miss;
	struct variant_model *variants;
	size_t variant_count; /* 1..VARIANTS_MAX */
	struct cohort_model *cohorts;
	size_t cohort_count;
	struct address sources[SOURCES_MAX]; /* NAT; none: this host's own address towards each backend */
	size_t source_count;
	uint16_t port_min, port_max; /* NAT source ports, inclusive */
	uint32_t drain_timeout_s;    /* how long moved slots stay tracked */
	uint32_t drain_limit_s;      /* and how long at most, if live flows still disagree; >= drain_timeout_s */
};

struct limits {
	uint32_t services;    /* ids for services */
	uint32_t backends;    /* ids for backends */
	uint32_t rows;        /* slot tables of 256 KiB each */
	uint32_t half_open;   /* flows before their handshake is complete */
	uint32_t established; /* flows after it */
};

struct model {
	struct interface_model *interfaces;
	size_t interface_count;
	struct service_model *services;
	size_t service_count;
	struct limits limits;
	uint32_t tcp_idle_s; /* an established TCP flow silent for longer is forgotten */
	uint32_t udp_idle_s;
};

void model_free(struct model *m); /* contents and @m itself; accepts NULL */
DEFINE_CLEANUP(struct model, model_free)

/* A deep copy. 0 or -ENOMEM. */
int model_copy(const struct model *m, struct model **ret);

struct service_model *model_find_service(struct model *m, const char *name);
/* Index of a variant in @s, or -1. */
int service_find_variant(const struct service_model *s, const char *name);

/* A weight by name, as commands give it. */
struct weight {
	char variant[NAME_SIZE];
	uint32_t weight;
};

/**
 * service_set_weights - change the weights of a service
 * @weights: the new weights, by name
 *
 * Variants that are not named get no weight; but one that has weight now must be named, so that nothing is lost by
 * leaving it out. Refused (-EINVAL, -ENOENT), with @why and @s untouched: an unknown variant, one named twice, all
 * weights zero, weight for a variant without backends, a weight above WEIGHT_MAX.
 */
int service_set_weights(struct service_model *s, const struct weight *weights, size_t count, struct refusal *why);

/* All weight (100) to one variant, none to the others. Refused like service_set_weights(). */
int service_switch(struct service_model *s, const char *variant, struct refusal *why);

/**
 * service_add_cohort - pin a source prefix to a variant
 *
 * Refused: unknown variant or one without backends (-ENOENT, -EINVAL), wrong family for the service's address
 * (-EINVAL), a prefix that overlaps another cohort of the service (-EEXIST, naming it).
 */
int service_add_cohort(struct service_model *s, const struct prefix *source, const char *variant, bool by_command,
		       struct refusal *why);

/* -ENOENT when there is no cohort with exactly this prefix. */
int service_remove_cohort(struct service_model *s, const struct prefix *source, struct refusal *why);

#endif
