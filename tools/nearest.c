// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nearest.h"

#include <stdint.h>
#include <string.h>

#include "util.h"

/* How many letters must change, be put in or be taken out to make one word of the other (Levenshtein, 1965). */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[32], length = strlen(b);

	if (length >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < length; j++) {
			size_t replaced = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = 1 + (row[j] < row[j + 1] ? row[j] : row[j + 1]);
			if (replaced < row[j + 1])
				row[j + 1] = replaced;
		}
	}
	return row[length];
}

const char *nearest_word(const char *word, const char *const words[])
{
	const char *nearest = NULL;
	size_t least = 3; /* with more than two slips, a word this short is another word */

	for (; *words; words++) {
		size_t distance = edit_distance(word, *words);

		if (distance < least) {
			least = distance;
			nearest = *words;
		}
	}
	return nearest;
}
