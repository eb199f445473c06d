/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONFIG_BUILD_H
#define HEADGATE_CONFIG_BUILD_H

/* What the parts of the configuration's reading share: a model in the making, and where in the file it came from. */
#include "config_reader.h"

#define VIP_VARIANT (-1)
#define SHADOW_MENTION (-2)
#define TITLE_SIZE (2 * NAME_SIZE + 32) /* of what is in a service: "variant blue of llm" */

/* An address, port and protocol that the file mentions, as a service's own (VIP_VARIANT), as a backend, or as its
 * shadow's (SHADOW_MENTION). */
struct mention {
	struct endpoint endpoint;
	uint8_t protocol;
	const uint8_t *server_id; /* NULL: it has none */
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
	/* Of the service that is being read: what its other keys are judged by, unless it is a mistake itself. */
	bool forward_known, quic_known;
};

/**
 * build_service - read one service into the model's last one
 * @f: its name and its map
 * Return: 0, also when problems were added; -ENOMEM.
 */
int build_service(struct builder *b, struct service_model *s, const struct field *f);

/* Notes an address of service @s for check_mentions(); @server_id lives as long as the model. */
void build_mention(struct builder *b, const struct service_model *s, int variant, const struct endpoint *e,
		   const uint8_t *server_id, yaml_mark_t at);

/* How packets reach backends, and what their ports and server ids must be. Before backends are read. */
void build_forward(struct builder *b, struct service_model *s, const struct field *forward, const struct field *tunnel);
void build_quic(struct builder *b, struct service_model *s, const struct field *f);

/**
 * build_backends - read the backends of a service's variant
 * Return: 0 with each of them counted, as good or bad as it may be; -EINVAL, -ENOENT, or -ENOMEM.
 */
int build_backends(struct builder *b, const struct service_model *s, struct variant_model *v, const struct field *f);

/*
 * What a service may have besides, each under its key. @variants_known: its variants were read, so that cohorts and
 * rollouts can be checked.
 */
int build_cohorts(struct builder *b, struct service_model *s, const struct field *f, bool variants_known);
int build_rollout(struct builder *b, struct service_model *s, const struct field *f, bool variants_known);
void build_nat(struct builder *b, struct service_model *s, const struct field *f);
void build_drain(struct builder *b, struct service_model *s, const struct field *f);
void build_measure(struct builder *b, struct service_model *s, const struct field *f);
void build_health(struct builder *b, struct service_model *s, const struct field *f);
void build_shadow(struct builder *b, struct service_model *s, const struct field *f);

/* Source addresses, of the service's family, at most SOURCES_MAX; and their ports. */
void build_sources(struct builder *b, const struct service_model *s, const struct field *f, struct address *ret,
		   size_t *ret_count);
void build_ports(struct builder *b, const struct field *f, uint16_t *ret_min, uint16_t *ret_max);

/* Counts a backend. False: it is one too many, which has been said. */
bool build_count_backend(struct builder *b, yaml_mark_t at);

/* Without quotes YAML takes [fd00::1]:8000 for a map whose key is a list. */
bool build_is_bare_ipv6(struct builder *b, const yaml_node_t *node);

/* Reads an address that packets can be sent to and come from. 0 or -EINVAL, -ENOENT as the reader's functions. */
int build_address(struct builder *b, const struct field *f, struct address *ret);

/* NULL, or what an address is that nothing can be sent to: "a multicast address". */
const char *unusable_address(const struct address *a);

bool is_loopback(const struct address *a);

/*
 * Checks services against each other: addresses taken twice, loops, backends that replies could not be told apart by;
 * and within a service, server ids that mean two backends.
 */
void check_mentions(struct builder *b);

#endif
