/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONFIG_BUILD_H
#define HEADGATE_CONFIG_BUILD_H

/* What the parts of the configuration's reading share: a model in the making, and where in the file it came from. */
#include "config_reader.h"

#define VIP_VARIANT (-1)

/* An address, port and protocol that the file mentions, as a service's own (VIP_VARIANT) or as a backend. */
struct mention {
	struct endpoint endpoint;
	uint8_t protocol;
	int variant;
	size_t service;
	size_t order; /* in which it was read */
	yaml_mark_t at;
};

struct builder {
	struct reader *reader;
	struct model *model;
	struct mention *mentions; /* room for limits.services + limits.backends */
	size_t mention_count;
	size_t backend_count;
};

/**
 * build_service - read one service into the model's last one
 * @f: its name and its map
 * Return: 0, also when problems were added; -ENOMEM.
 */
int build_service(struct builder *b, struct service_model *s, const struct field *f);

/*
 * What a service may have besides, each under its key. @variants_known: its variants were read, so that cohorts can be
 * checked.
 */
int build_cohorts(struct builder *b, struct service_model *s, const struct field *f, bool variants_known);
void build_nat(struct builder *b, struct service_model *s, const struct field *f);
void build_drain(struct builder *b, struct service_model *s, const struct field *f);
void build_measure(struct builder *b, struct service_model *s, const struct field *f);
void build_health(struct builder *b, struct service_model *s, const struct field *f);

/* Reads an address that packets can be sent to and come from. 0 or -EINVAL, -ENOENT as the reader's functions. */
int build_address(struct builder *b, const struct field *f, struct address *ret);

/* NULL, or what an address is that nothing can be sent to: "a multicast address". */
const char *unusable_address(const struct address *a);

bool is_loopback(const struct address *a);

/* Checks services against each other: addresses taken twice, loops, backends that replies could not be told apart by.
 */
void check_mentions(struct builder *b);

#endif
