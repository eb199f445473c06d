/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_RENDER_H
#define HEADGATE_RENDER_H

#include <stdint.h>
#include <stdio.h>

#include "util.h"

/* Rows of text in aligned columns. Running out of memory is remembered and comes out when it is printed. */
struct listing;

/**
 * listing_open - an empty listing
 * @headings: ends with NULL; the texts outlive the listing; a leading '>' aligns the column right and is not printed
 * Return: NULL when out of memory, which the other functions accept.
 */
struct listing *listing_open(const char *const headings[]);
void listing_free(struct listing *l); /* accepts NULL */
DEFINE_CLEANUP(struct listing, listing_free)

/* The next cell; a row is complete when every column has one. */
void listing_add(struct listing *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The headings (bold on a terminal), then the rows. 0, or -ENOMEM with nothing printed. */
int listing_print(const struct listing *l, FILE *out);

#define QUANTITY_SIZE 32

/* Each writes at most QUANTITY_SIZE bytes and returns @text. */
const char *format_bytes(uint64_t bytes, char text[QUANTITY_SIZE]);    /* "703.5 KiB" */
const char *format_count(uint64_t count, char text[QUANTITY_SIZE]);    /* exact below a million, then "1.50 M" */
const char *format_share(double share, char text[QUANTITY_SIZE]);      /* 0..1 as "12.50 %" */
const char *format_seconds(double seconds, char text[QUANTITY_SIZE]);  /* "9m53s": the two largest units */
const char *format_duration(double seconds, char text[QUANTITY_SIZE]); /* "85µs", "3.1ms", "1.2s", "9m53s" */

#endif
