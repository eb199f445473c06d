// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "figures.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define NAME_BYTES 48

struct series {
	double *own; /* nanoseconds a packet, round by round */
	size_t count, room;
};

struct figure {
	char name[NAME_BYTES];
	struct series own, against;
};

struct figures {
	struct figure *figure;
	size_t count;
};

struct summary {
	double min, median, max;
};

struct figures *figures_new(void)
{
	struct figures *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	return f;
}

void figures_free(struct figures *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->figure[i].own.own);
		free(f->figure[i].against.own);
	}
	free(f->figure);
	free(f);
}

/* "ipip_1m" */
static void name_of(const char *kind, uint32_t flows, char ret[NAME_BYTES])
{
	const char *suffix = flows == 1 ? "_1" : flows == 1000 ? "_1k" : flows == 100000 ? "_100k" : "_1m";

	snprintf(ret, NAME_BYTES, "%s%s", kind, flows ? suffix : "");
}

static struct figure *find(const struct figures *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->figure[i].name, name) == 0)
			return &f->figure[i];
	return NULL;
}

static struct figure *find_or_make(struct figures *f, const char *kind, uint32_t flows)
{
	char name[NAME_BYTES];
	struct figure *figure;

	name_of(kind, flows, name);
	figure = find(f, name);
	if (figure)
		return figure;
	f->figure = reallocarray(f->figure, f->count + 1, sizeof(*f->figure));
	if (!f->figure)
		abort();
	figure = &f->figure[f->count++];
	memset(figure, 0, sizeof(*figure));
	memcpy(figure->name, name, sizeof(name));
	return figure;
}

static void series_add(struct series *s, double value)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->own = reallocarray(s->own, s->room, sizeof(*s->own));
		if (!s->own)
			abort();
	}
	s->own[s->count++] = value;
}

void figures_add(struct figures *f, const char *kind, uint32_t flows, double whole_ns, double wrapper_ns)
{
	series_add(&find_or_make(f, kind, flows)->own, whole_ns - wrapper_ns);
}

void figures_add_against(struct figures *f, const char *kind, uint32_t flows, double whole_ns, double wrapper_ns)
{
	series_add(&find_or_make(f, kind, flows)->against, whole_ns - wrapper_ns);
}

static int compare(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

static struct summary summary_of(const struct series *s)
{
	struct summary summary = {};
	double *sorted = calloc(s->count + 1, sizeof(*sorted));

	if (!sorted)
		abort();
	if (s->count) {
		memcpy(sorted, s->own, s->count * sizeof(*sorted));
		qsort(sorted, s->count, sizeof(*sorted), compare);
		summary = (struct summary){sorted[0], sorted[s->count / 2], sorted[s->count - 1]};
	}
	free(sorted);
	return summary;
}

/*
 * The median of what it is in each round: a busy host slows all of a round, and which rounds, or how many, is by
 * chance. What has not as many rounds is compared by medians.
 */
static double series_quotient(const struct series *one, const struct series *by)
{
	struct series of = {};
	double median;

	if (one->count != by->count)
		return summary_of(one).median / summary_of(by).median;
	for (size_t i = 0; i < one->count; i++)
		series_add(&of, one->own[i] / by->own[i]);
	median = summary_of(&of).median;
	free(of.own);
	return median;
}

/* 0 where either is missing. */
static double quotient(const struct figures *f, const char *name, const char *by)
{
	const struct figure *one = find(f, name), *other = find(f, by);

	return one && other ? series_quotient(&one->own, &other->own) : 0;
}

void figures_print(const struct figures *f)
{
	printf("%-28s %8s %8s %8s %8s\n", "own ns a packet", "min", "median", "max", "x floor");
	for (size_t i = 0; i < f->count; i++) {
		const struct figure *figure = &f->figure[i];
		struct summary own = summary_of(&figure->own), against = summary_of(&figure->against);

		printf("%-28s %8.1f %8.1f %8.1f %8.2f", figure->name, own.min, own.median, own.max,
		       quotient(f, figure->name, "floor_1"));
		if (figure->against.count)
			printf("  against %8.1f %8.1f %8.1f: %.3f", against.min, against.median, against.max,
			       series_quotient(&figure->own, &figure->against));
		printf("\n");
	}
}

/* What others compare: name, figure, and what it is divided by. */
static const struct {
	const char *name, *figure, *by;
} ratios[] = {
	{"ipip_1", "ipip_1", "floor_1"},
	{"ipip_1m", "ipip_1m", "floor_1"},
	{"l2dsr_1", "l2dsr_1", "floor_1"},
	{"dnat_1", "dnat_1", "floor_1"},
	{"nat_1", "nat_1", "floor_1"},
	{"nat_1m", "nat_1m", "floor_1"},
	{"no_service", "no_service_1", "floor_1"},
	{"measuring", "dnat_data_1k", "dnat_data_unmeasured_1k"},
	{"services_1000", "services_1000_1k", "services_1_1k"},
	{"backends_1000", "backends_1000_100k", "backends_1_100k"},
	{"shadow_production", "nat_data_shadow_10_1k", "nat_data_1k"},
};

static json_t *figures_json(const struct figures *f)
{
	json_t *all = json_object();

	for (size_t i = 0; i < f->count; i++) {
		struct summary own = summary_of(&f->figure[i].own);

		json_object_set_new(all, f->figure[i].name,
				    json_pack("{s:f,s:f,s:f,s:s,s:f}", "min", own.min, "median", own.median, "max",
					      own.max, "unit", "ns", "ratio",
					      quotient(f, f->figure[i].name, "floor_1")));
	}
	return all;
}

int figures_write(const struct figures *f, const char *path)
{
	json_t *of = json_object(), *whole = json_object();
	int error;

	for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
		double ratio = quotient(f, ratios[i].figure, ratios[i].by);

		if (ratio)
			json_object_set_new(of, ratios[i].name, json_real(ratio));
	}
	json_object_set_new(whole, "figures", figures_json(f));
	json_object_set_new(whole, "ratios", of);
	error = json_dump_file(whole, path, JSON_INDENT(1) | JSON_REAL_PRECISION(5)) ? -EIO : 0;
	json_decref(whole);
	return error;
}
