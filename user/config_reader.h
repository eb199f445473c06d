/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CONFIG_READER_H
#define HEADGATE_CONFIG_READER_H

/*
 * A YAML document, and the typed reading of its values. What is wrong is added to the reader's problems with its place;
 * the return code only says whether the output was set, so that a caller goes on and finds the next mistake.
 */
#include <yaml.h>

#include "problems.h"

struct reader {
	yaml_document_t document;
	struct problem_list problems;
	size_t visits; /* values read, those behind an alias each time */
	bool stopped;  /* too many visits: nothing more is read */
};

/* A value and how people call it: "KEY of OF". */
struct field {
	const char *key;
	const char *required; /* how to write it, as "port: 8000"; NULL: it may be left out */
	const char *of;
	yaml_mark_t at;    /* of the key, or of the value of a list */
	yaml_node_t *node; /* NULL: left out */
};

/**
 * reader_open - parse text as one YAML document
 * @least: what it has to say at least, for whoever wrote nothing
 *
 * Bounds what hostile text can cost: its size, depth, number of values and anchors.
 * Return: 0 and a document to close, -EINVAL with the problem added (nothing to close), or -ENOMEM.
 */
int reader_open(struct reader *r, const char *text, size_t length, const char *least);
void reader_close(struct reader *r);

void reader_problem(struct reader *r, yaml_mark_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "KEY of OF is 'xx': write HINT", or "is a list", "is empty", as the value is. */
void reader_refuse(struct reader *r, const struct field *f, const char *hint);

/* The functions below return -ENOENT for a field that was left out, -EINVAL after a problem was added; @ret as it was.
 */

/**
 * reader_fields - the values of a map whose keys are known
 * @fields: their keys and whether they are required; nodes are filled in, unknown and repeated keys are problems
 * @title: of the map, for messages; lives as long as @fields
 * Return: 0 also if a key was a problem: what is known can be read.
 */
int reader_fields(struct reader *r, const struct field *map, const char *title, struct field *fields, size_t count);

/* A map whose keys are names, and a list. @hint says how to write one. */
int reader_map(struct reader *r, const struct field *f, const char *hint, const yaml_node_pair_t **ret,
	       size_t *ret_count);
int reader_list(struct reader *r, const struct field *f, const char *hint, const yaml_node_item_t **ret,
		size_t *ret_count);

/* The entry of a map under a name (text_is_name()), and the item of a list under the name of @key. */
int reader_entry(struct reader *r, const yaml_node_pair_t *pair, const char *of, struct field *ret);
struct field reader_item(struct reader *r, yaml_node_item_t item, const char *key, const char *of);

/* @ret lives as long as the document. */
int reader_text(struct reader *r, const struct field *f, const char *hint, const char **ret);
int reader_number(struct reader *r, const struct field *f, uint32_t min, uint32_t max, uint32_t *ret);
int reader_duration(struct reader *r, const struct field *f, uint32_t *ret_s);

/* Like reader_duration(), in milliseconds and with "500ms", from @min_ms to @max_ms. */
int reader_time(struct reader *r, const struct field *f, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms);

/* A number with a point or without, from @min to @max. */
int reader_decimal(struct reader *r, const struct field *f, double min, double max, const char *hint, double *ret);

/* One of @words; @ret is its index. */
int reader_choice(struct reader *r, const struct field *f, const char *const *words, size_t count, int *ret);

#endif
