/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_NEAREST_H
#define HEADGATE_NEAREST_H

/**
 * nearest_word - the word that was probably meant
 * @words: what there is; ends with NULL
 * Return: one of @words at most two slips away from @word, the nearest; or NULL.
 */
const char *nearest_word(const char *word, const char *const words[]);

#endif
