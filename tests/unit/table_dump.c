// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Prints a table for oracle_table.py to check.
 *
 *   table_dump owners SERVICE NAME=WEIGHT...          seed, then the index of each slot's owner, one a line
 *   table_dump maglev SERVICE ADDRESS:PORT=WEIGHT...  seed, then the index of each slot's backend
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "util.h"

/* Cuts "=WEIGHT" off @text. 0 or -1. */
static int take_weight(char *text, uint32_t *ret)
{
	char *equals = strrchr(text, '='), *end;
	unsigned long weight;

	if (!equals)
		return -1;
	weight = strtoul(equals + 1, &end, 10);
	if (end == equals + 1 || *end || weight > UINT32_MAX)
		return -1;
	*equals = '\0';
	*ret = weight;
	return 0;
}

static int dump_owners(uint32_t seed, char **specs, size_t count)
{
	_cleanup_free_ struct table_variant *variants = calloc(count, sizeof(*variants));
	static uint8_t owner[SLOTS];

	if (!variants)
		return -1;
	for (size_t i = 0; i < count; i++) {
		variants[i].name = specs[i];
		if (take_weight(specs[i], &variants[i].weight))
			return -1;
	}
	if (table_owners(seed, variants, count, owner))
		return -1;
	printf("%" PRIu32 "\n", seed);
	for (size_t slot = 0; slot < SLOTS; slot++)
		printf("%u\n", owner[slot]);
	return 0;
}

static int dump_maglev(uint32_t seed, char **specs, size_t count)
{
	_cleanup_free_ struct table_backend *backends = calloc(count, sizeof(*backends));
	static uint32_t index[SLOTS];

	if (!backends)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (take_weight(specs[i], &backends[i].weight) || endpoint_parse(specs[i], &backends[i].endpoint))
			return -1;
	if (table_maglev(seed, backends, count, index))
		return -1;
	printf("%" PRIu32 "\n", seed);
	for (size_t slot = 0; slot < SLOTS; slot++)
		printf("%" PRIu32 "\n", index[slot]);
	return 0;
}

int main(int argc, char **argv)
{
	int err = -1;

	if (argc > 3 && !strcmp(argv[1], "owners"))
		err = dump_owners(table_seed(argv[2]), argv + 3, argc - 3);
	else if (argc > 3 && !strcmp(argv[1], "maglev"))
		err = dump_maglev(table_seed(argv[2]), argv + 3, argc - 3);
	if (err) {
		fprintf(stderr, "usage: %s owners|maglev SERVICE NAME=WEIGHT...\n", argv[0]);
		return 2;
	}
	return fflush(stdout) ? 1 : 0;
}
