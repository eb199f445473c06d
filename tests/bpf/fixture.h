/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TEST_FIXTURE_H
#define HEADGATE_TEST_FIXTURE_H

/*
 * The programs, loaded into this kernel with maps of their own, pinned nowhere. Frames go through BPF_PROG_TEST_RUN of
 * one hook's: they come in on the loopback interface and none leaves. Whatever cannot be done fails the test.
 */
#include <linux/types.h>
#include <stdbool.h>

#include "abi.h"
#include "flow_tables.h"
#include "packet.h"

#define LOOPBACK 1 /* ifindex that frames come in on */
#define SERVICES_MAX 64
#define BACKENDS_MAX 512
#define ROWS_MAX 64

enum hook { HOOK_XDP, HOOK_TC, HOOKS };

/* The hook that fixtures run. */
extern enum hook fixture_hook;
const char *fixture_hook_name(void);

/* Runs a group of tests once for each hook. Return: how many failed. */
#define run_on_every_hook(tests)                                                                                       \
	({                                                                                                             \
		int failed_tests = 0;                                                                                  \
                                                                                                                       \
		for (fixture_hook = 0; fixture_hook < HOOKS; fixture_hook++)                                           \
			failed_tests += cmocka_run_group_tests_name(fixture_hook_name(), tests, NULL, NULL);           \
		failed_tests;                                                                                          \
	})

/* What became of a frame, whatever the hook calls it. */
enum outcome { PASSED, DROPPED, SENT, OUTCOMES };

/* Zero: room enough for any test that does not care. */
struct fixture_sizes {
	__u32 buckets[FLOW_TABLES]; /* of each flow table */
	__u32 shadow_flows;
	__u32 stash;
};

/* File descriptors, owned. */
struct fixture {
	struct headgate_bpf *skeleton;
	bool usual; /* its sizes */
	int program;
	int action; /* the hook's own word for the last run's outcome: enum xdp_action, TC_ACT_... */
	int known_ends;
	int vips;
	int vip_addresses;
	int server_ids;
	int fragments;
	int reply_origins;
	int services;
	int cohorts;
	int rows;
	int sources;
	int backends;
	int next_hops;
	int wanted_neighbours;
	int devices;
	int service_counters;
	int backend_counters;
	int measurements;
	int too_big_budget;
	struct flow_tables flow_tables; /* mapped */
};

struct fixture *fixture_new(const struct fixture_sizes *sizes);
void fixture_free(struct fixture *f);

/* One of its programs, or maps, by name. */
int fixture_program(const struct fixture *f, const char *name);
int fixture_map(const struct fixture *f, const char *name);

/* Forgets fragments, flows, and how many "too big" were sent. */
void fixture_forget(struct fixture *f);

/* Forgets fragments, flows, ports, wanted neighbours, cohorts and counts; what was configured stays. */
void fixture_reset(struct fixture *f);

/* Whether the kernel takes such a frame in a test run at this hook. */
bool fixture_takes(const struct frame *f);

/* One frame through the programs. @ret: as it comes out, whatever the outcome. */
enum outcome fixture_run(struct fixture *f, const struct frame *in, struct frame *ret);

void map_set(int map, const void *key, const void *value);

/* The same with a key of vips or of reply_origins, by which packets are known to be looked at closely. */
void map_set_end(struct fixture *f, int map, const struct service_key *key, const void *value);
bool map_get(int map, const void *key, void *ret); /* false, @ret untouched: no such key */
void map_delete(int map, const void *key);
__u32 map_entries(int map);

/* Row @row with every slot at @entry. */
void fixture_fill_row(struct fixture *f, __u32 row, slot_entry entry);

/* Sums over all CPUs. */
struct service_counters fixture_service_counters(struct fixture *f, __u32 service);
struct backend_counters fixture_backend_counters(struct fixture *f, __u32 backend);
struct measurements fixture_measurements(struct fixture *f, __u32 backend);
struct shadow_counters fixture_shadow_counters(struct fixture *f, __u32 service);

/* Drops of all services and reasons. */
__u64 fixture_drops(struct fixture *f);

#endif
