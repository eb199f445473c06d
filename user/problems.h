/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PROBLEMS_H
#define HEADGATE_PROBLEMS_H

#include <stdarg.h>

#include "config.h"

#define PROBLEMS_MAX 50

/* One thing that is wrong, at a line and column that count from 1. */
struct problem {
	size_t line, column;
	char text[512];
};

/* The first PROBLEMS_MAX problems in the order of the file, whatever the order in which they are found. */
struct problem_list {
	struct problem problem[PROBLEMS_MAX];
	size_t count;
};

void problem_list_add(struct problem_list *list, size_t line, size_t column, const char *format, va_list arguments);

/* Writes the list as config_load() promises; @file stands before each line. 0 or -ENOMEM. */
int problem_list_print(const struct problem_list *list, const char *file, struct problems *ret);

/* One problem of the file as a whole, without a place in it. 0 or -ENOMEM. */
int problem_of_file(const char *file, const char *what, struct problems *ret);

#endif
