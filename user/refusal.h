/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_REFUSAL_H
#define HEADGATE_REFUSAL_H

/* Why something an operator asked for is not done, and what to do instead: one sentence for people. */
struct refusal {
	char text[512];
};

/**
 * refuse - say why not
 * @why: receives the text; may be NULL
 * @code: the errno to return, positive (EINVAL, ENOENT, EBUSY, ..)
 *
 * Return: -@code, so that a caller can write `return refuse(why, EINVAL, "...")`.
 */
int refuse(struct refusal *why, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
