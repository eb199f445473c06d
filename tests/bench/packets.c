// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 *   packets [--rounds N] [--only WORD] [--object FILE] [--against FILE] [--json FILE]
 *
 * What a packet costs, in nanoseconds, by BPF_PROG_TEST_RUN on one processor: docs/performance.md tells how and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#include "../bpf/packet.h"
#include "figures.h"
#include "harness.h"
#include "kinds.h"
#include "scene.h"

#define SLICES 6U /* of a measurement: the quickest one counts, as others are but interrupted */
#define SLICE_PACKETS 2000U
#define FLOOD_PACKETS 40000U
#define CHECKED_PACKETS 5000U

struct bench {
	struct scene *scene;
	struct harness *harness;
	struct figures *figures;
	bool against;
};

static void fail_kind(const struct kind *kind, const char *why, uint64_t is, uint64_t wanted)
{
	fprintf(stderr, "bench: %s: %s: %llu, and not %llu\n", kind->name, why, (unsigned long long)is,
		(unsigned long long)wanted);
	exit(1);
}

/* So that what is timed is the path that is named. */
static void check(struct bench *b, const struct kind *kind, const struct plan *plan)
{
	uint64_t forwarded = scene_forwarded(b->scene), dropped = scene_dropped(b->scene);
	uint32_t verdict;

	harness_run(b->harness, plan, kind->program, CHECKED_PACKETS, &verdict);
	forwarded = scene_forwarded(b->scene) - forwarded;
	dropped = scene_dropped(b->scene) - dropped;
	if (kind->verdict != KIND_ANY_VERDICT && verdict != kind->verdict)
		fail_kind(kind, "verdict", verdict, kind->verdict);
	if (forwarded != (kind->forwards ? CHECKED_PACKETS : 0))
		fail_kind(kind, "packets forwarded", forwarded, kind->forwards ? CHECKED_PACKETS : 0);
	if (dropped != (kind->verdict == XDP_DROP ? CHECKED_PACKETS : 0))
		fail_kind(kind, "packets dropped", dropped, kind->verdict == XDP_DROP ? CHECKED_PACKETS : 0);
}

/* Until what so many flows need is in the caches, as far as it fits there. */
static uint32_t warming(uint32_t flows)
{
	return flows == 1 ? 1000 : flows <= 1000 ? 5000 : 40000;
}

static void take_least(double *least, double value)
{
	if (value < *least)
		*least = value;
}

/* One program and the wrapper alone, by turns. */
static void time_program(struct bench *b, const struct plan *plan, enum plan_program program, uint32_t flows,
			 double *ret_whole, double *ret_wrapper)
{
	double whole = HUGE_VAL, wrapper = HUGE_VAL;

	harness_run(b->harness, plan, program, warming(flows), NULL);
	for (uint32_t slice = 0; slice < SLICES; slice++) {
		take_least(&whole, harness_run(b->harness, plan, program, SLICE_PACKETS, NULL));
		take_least(&wrapper, harness_run(b->harness, plan, PLAN_NOTHING, SLICE_PACKETS, NULL));
	}
	*ret_whole = whole;
	*ret_wrapper = wrapper;
}

static void measure(struct bench *b, const struct kind *kind, uint32_t flows)
{
	struct plan plan = kind_plan(kind, flows);
	double whole, wrapper;

	scene_show_shadows(b->scene, kind->shadows);
	scene_use_usual_tables(b->scene, kind->opens);
	time_program(b, &plan, kind->program, flows, &whole, &wrapper);
	figures_add(b->figures, kind->name, flows, whole, wrapper);
	if (!b->against || kind->program != PLAN_MEASURED)
		return;
	time_program(b, &plan, PLAN_AGAINST, flows, &whole, &wrapper);
	figures_add_against(b->figures, kind->name, flows, whole, wrapper);
}

static bool is_wanted(const struct kind *kind, const char *only)
{
	return !only || kind->program == PLAN_FLOOR || strstr(kind->name, only);
}

static void each_cell(struct bench *b, const char *only,
		      void (*do_it)(struct bench *b, const struct kind *kind, uint32_t flows))
{
	for (size_t i = 0; i < kind_count; i++) {
		if (!is_wanted(&kinds[i], only))
			continue;
		for (size_t column = 0; column < COLUMNS; column++)
			if (kinds[i].columns & 1U << column)
				do_it(b, &kinds[i], kinds[i].opens ? 0 : column_flows[column]);
	}
}

static void check_cell(struct bench *b, const struct kind *kind, uint32_t flows)
{
	struct plan plan = kind_plan(kind, flows);

	scene_show_shadows(b->scene, kind->shadows);
	scene_use_usual_tables(b->scene, kind->opens);
	check(b, kind, &plan);
}

/* New connections through NAT, until each of them has another one make room for it. */
static void flood(struct bench *b)
{
	struct plan plan = kind_plan(&flood_kind, 0);
	uint32_t entries = scene_use_usual_tables(b->scene, true);

	scene_show_shadows(b->scene, false);
	for (uint32_t sent = 0; sent < entries + entries / 2; sent += FLOOD_PACKETS)
		harness_run(b->harness, &plan, PLAN_MEASURED, FLOOD_PACKETS, NULL);
}

/* The last one that this thread may run on: the first ones have more interrupts. */
static void pin(void)
{
	cpu_set_t allowed, one;
	int last = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	CPU_ZERO(&one);
	CPU_SET(last, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static int run(const char *object, const char *against, const char *only, uint32_t rounds, const char *json)
{
	struct bench b = {.against = against};
	int error;

	pin();
	fprintf(stderr, "packets: filling the maps\n");
	b.scene = scene_open();
	b.harness = harness_open();
	b.figures = figures_new();
	harness_set_program(b.harness, PLAN_MEASURED, scene_load(b.scene, object));
	if (against)
		harness_set_program(b.harness, PLAN_AGAINST, scene_load(b.scene, against));
	if (is_wanted(&flood_kind, only))
		flood(&b);
	each_cell(&b, only, check_cell);
	for (uint32_t round = 0; round < rounds; round++) {
		if (round % 10 == 0)
			fprintf(stderr, "packets: round %u of %u\n", round, rounds);
		harness_next_floor(b.harness);
		each_cell(&b, only, measure);
	}
	figures_print(b.figures);
	error = json ? figures_write(b.figures, json) : 0;
	harness_close(b.harness);
	scene_close(b.scene);
	figures_free(b.figures);
	if (error)
		fprintf(stderr, "bench: %s: %s\n", json, strerror(-error));
	return !!error;
}

int main(int argc, char **argv)
{
	static const struct option words[] = {
		{"rounds", required_argument, NULL, 'r'}, {"only", required_argument, NULL, 'o'},
		{"object", required_argument, NULL, 'b'}, {"against", required_argument, NULL, 'a'},
		{"json", required_argument, NULL, 'j'},   {},
	};
	const char *object = "build/headgate.bpf.o", *against = NULL, *only = NULL, *json = NULL;
	uint32_t rounds = 40;
	int option;

	while ((option = getopt_long(argc, argv, "", words, NULL)) >= 0) {
		if (option == 'r')
			rounds = strtoul(optarg, NULL, 10);
		else if (option == 'o')
			only = optarg;
		else if (option == 'b')
			object = optarg;
		else if (option == 'a')
			against = optarg;
		else if (option == 'j')
			json = optarg;
		else
			return 2;
	}
	return run(object, against, only, rounds, json);
}
