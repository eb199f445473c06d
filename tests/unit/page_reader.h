/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TESTS_PAGE_READER_H
#define HEADGATE_TESTS_PAGE_READER_H

/*
 * A reader of Prometheus' text format that knows nothing of what wrote it, and takes only what is well-formed: families
 * in one piece, HELP and TYPE first, no series twice, histograms whole, rising and cumulative. Include cmocka.h before.
 */
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 128U

struct reading {
	const char *name; /* of the sample */
	const char *key;  /* name and labels, as they stand on the page */
	const char *value_text;
	double value;
};

struct page {
	char *text; /* cut into pieces that the others point to */
	struct reading *readings;
	size_t count;
	const char *family[FAMILIES_MAX];
	size_t family_count;
	char type[16]; /* of the last family; empty before its TYPE */
	size_t bucket; /* index of the first bucket of a histogram that is not complete, or SIZE_MAX */
};

static inline bool is_name(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalpha((unsigned char)text[i]) && text[i] != '_' && (i == 0 || !isdigit((unsigned char)text[i])))
			return false;
	return length > 0;
}

/* Past the closing brace of {name="value",..}, or NULL. */
static inline const char *skip_labels(const char *p)
{
	do {
		size_t length = strcspn(++p, "=");

		if (!is_name(p, length) || p[length] != '=' || p[length + 1] != '"')
			return NULL;
		for (p += length + 2; *p != '"'; p++) {
			if (!*p || (*p == '\\' && !strchr("\\\"n", *++p)))
				return NULL;
		}
		p++;
	} while (*p == ',');
	return *p == '}' ? p + 1 : NULL;
}

/* Where the last label, le, begins in a bucket's key; NULL: there is none. */
static inline const char *le_of(const char *key)
{
	const char *le = strstr(key, "le=\"");

	while (le && strstr(le + 1, "le=\""))
		le = strstr(le + 1, "le=\"");
	return le;
}

static inline double bound_of(const char *key)
{
	return strncmp(le_of(key) + 4, "+Inf\"", 5) ? strtod(le_of(key) + 4, NULL) : INFINITY;
}

/* A sample of a histogram: buckets upwards to +Inf, then _sum, then _count, and nothing between. */
static inline const char *check_histogram(struct page *page, const char *suffix)
{
	struct reading *first = &page->readings[page->bucket], *last = &page->readings[page->count - 1];
	struct reading *before = last - 1;

	if (!strcmp(suffix, "_bucket")) {
		if (!le_of(last->key))
			return "a bucket without le";
		if (page->bucket == SIZE_MAX) {
			page->bucket = page->count - 1;
			return NULL;
		}
		if (!strcmp(before->name, last->name) &&
		    (le_of(first->key) - first->key != le_of(last->key) - last->key ||
		     strncmp(first->key, last->key, le_of(first->key) - first->key)))
			return "a histogram without its end";
		if (bound_of(last->key) <= bound_of(before->key))
			return "le does not rise";
		return last->value < before->value ? "buckets are not cumulative" : NULL;
	}
	if (page->bucket == SIZE_MAX)
		return "a sum or count without buckets";
	if (!strcmp(suffix, "_sum"))
		return le_of(before->key) && isinf(bound_of(before->key)) ? NULL : "no +Inf before the sum";
	if (strcmp(suffix, "_count") || !strstr(before->name, "_sum"))
		return "no sum before the count";
	page->bucket = SIZE_MAX;
	return last->value == before[-1].value ? NULL : "the count is not that of +Inf";
}

static inline const char *check_sample(struct page *page, char *line)
{
	const char *family = page->family_count ? page->family[page->family_count - 1] : "";
	const char *labels_end = line + strcspn(line, "{ ");
	size_t name_length = labels_end - line;
	struct reading *r = &page->readings[page->count++];
	char *end;

	if (!is_name(line, name_length) || !page->type[0] || strncmp(line, family, strlen(family)))
		return "a sample that is not of the last family";
	if (*labels_end == '{')
		labels_end = skip_labels(labels_end);
	if (!labels_end || *labels_end != ' ')
		return "labels that are not labels";
	line[labels_end - line] = '\0';
	r->key = line;
	r->name = strndup(line, name_length);
	r->value_text = labels_end + 1;
	r->value = strtod(r->value_text, &end);
	if (end == r->value_text || *end)
		return "a value that is no number";
	if (!strcmp(page->type, "histogram"))
		return check_histogram(page, r->name + strlen(family));
	if (strcmp(r->name, family))
		return "a sample that is not of the last family";
	if (!strcmp(page->type, "counter") && (r->value < 0 || !strstr(family, "_total")))
		return "a counter that is none";
	return NULL;
}

static inline const char *check_comment(struct page *page, char *line)
{
	char *name = line + strlen("# HELP "), *rest = name + strcspn(name, " ");

	if (!is_name(name, rest - name) || !*rest)
		return "a comment without a name";
	*rest++ = '\0';
	if (page->bucket != SIZE_MAX)
		return "a histogram without its end";
	if (!strncmp(line, "# HELP ", 7)) {
		for (size_t i = 0; i < page->family_count; i++)
			if (!strcmp(page->family[i], name))
				return "a family in two places";
		page->family[page->family_count++] = name;
		page->type[0] = '\0';
		return NULL;
	}
	if (strncmp(line, "# TYPE ", 7) || !page->family_count || page->type[0] ||
	    strcmp(page->family[page->family_count - 1], name))
		return "a TYPE that does not follow its HELP";
	snprintf(page->type, sizeof(page->type), "%s", rest);
	return NULL;
}

static inline int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct reading *)a)->key, ((const struct reading *)b)->key);
}

static inline void free_page(struct page *page)
{
	for (size_t i = 0; i < page->count; i++)
		free((char *)page->readings[i].name);
	free(page->readings);
	free(page->text);
}

/* What is wrong with a page, or NULL; its readings sorted by key. */
static inline const char *read_page(const char *text, struct page *page)
{
	size_t lines = 1;
	char *line, *next;

	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	*page = (struct page){
		.text = strdup(text), .readings = calloc(lines, sizeof(*page->readings)), .bucket = SIZE_MAX};
	for (line = page->text; *line; line = next) {
		const char *mistake;

		next = strchr(line, '\n');
		if (!next)
			return "no line feed at the end";
		*next++ = '\0';
		mistake = *line == '#' ? check_comment(page, line) : check_sample(page, line);
		if (mistake)
			return mistake;
	}
	if (page->bucket != SIZE_MAX)
		return "a histogram without its end";
	qsort(page->readings, page->count, sizeof(*page->readings), compare_keys);
	for (size_t i = 1; i < page->count; i++)
		if (!compare_keys(&page->readings[i - 1], &page->readings[i]))
			return "a series twice";
	return NULL;
}

static inline const struct reading *find_reading(const struct page *page, const char *key)
{
	struct reading wanted = {.key = key};

	return bsearch(&wanted, page->readings, page->count, sizeof(wanted), compare_keys);
}

static inline double value_of(const struct page *page, const char *key)
{
	const struct reading *r = find_reading(page, key);

	if (!r)
		fail_msg("no %s", key);
	return r->value;
}

#endif
