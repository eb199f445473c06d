// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "problems.h"

#include <errno.h>
#include <string.h>

void problems_clear(struct problems *p)
{
	if (!p)
		return;
	free(p->text);
	*p = (struct problems){};
}

void problem_list_add(struct problem_list *list, size_t line, size_t column, const char *format, va_list arguments)
{
	struct problem *end = &list->problem[list->count];
	struct problem *p = end;

	while (p > list->problem && (p[-1].line > line || (p[-1].line == line && p[-1].column > column)))
		p--;
	if (p == &list->problem[PROBLEMS_MAX])
		return;
	if (list->count == PROBLEMS_MAX)
		end--;
	else
		list->count++;
	memmove(p + 1, p, (end - p) * sizeof(*p));
	p->line = line;
	p->column = column;
	vsnprintf(p->text, sizeof(p->text), format, arguments);
}

int problem_list_print(const struct problem_list *list, const char *file, struct problems *ret)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		const struct problem *p = &list->problem[i];

		fprintf(out, "%s:%zu:%zu: %s\n", file, p->line, p->column, p->text);
	}
	if (fclose(out)) {
		free(text);
		return -ENOMEM;
	}
	*ret = (struct problems){.text = text, .count = list->count};
	return 0;
}

int problem_of_file(const char *file, const char *what, struct problems *ret)
{
	char *text;

	if (asprintf(&text, "%s: %s\n", file, what) < 0)
		return -ENOMEM;
	*ret = (struct problems){.text = text, .count = 1};
	return 0;
}
