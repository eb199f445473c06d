/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DATAPATH_H
#define HEADGATE_DATAPATH_H

/*
 * The programs and their maps in the kernel: loading, adopting, attaching, pinning, reading and writing. The only user
 * of libbpf. Decides nothing.
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "abi.h"
#include "attach.h"
#include "flow_tables.h"
#include "model.h"

struct datapath;

/* What can be updated, deleted and iterated by key; arrays that are mapped into memory are reached by pointers below.
 */
enum datapath_map {
	MAP_VIPS,               /* struct service_key -> u32 */
	MAP_VIP_ADDRESSES,      /* struct address -> u32 */
	MAP_REPLY_ADDRESSES,    /* struct address -> u32, unread */
	MAP_SERVER_IDS,         /* struct server_id_key -> u32 */
	MAP_REPLY_ORIGINS,      /* struct service_key -> struct reply_origin */
	MAP_COHORTS,            /* struct cohort_key -> struct cohort */
	MAP_SOURCES,            /* u32 -> struct address */
	MAP_BACKEND_IDENTITIES, /* u32 -> struct backend_identity */
	MAP_NEXT_HOPS,          /* struct next_hop_key -> struct next_hop_entry */
	MAP_WANTED_NEIGHBOURS,  /* struct wanted_neighbour -> u32 */
	MAP_DEVICES,            /* u32 -> u32 */
	MAP_SILENT_COUNTERS,    /* u32 -> struct silent_counters */
	MAP_REMEMBERED,         /* struct variant_key -> struct remembered_counts */
	MAP_SHADOW_RULES,       /* struct cohort_key -> u32 enum shadow_rule */
	MAP_SHADOW_HOSTS,       /* struct address -> u32, unread */
	MAP_SHADOW_FLOWS,       /* struct flow_key -> struct shadow_flow */
	MAP_SHADOW_PORTS,       /* struct source_port_key -> struct shadow_port */
	MAP_STASH,              /* struct stash_key -> struct stash_segment */
	MAP_MIRRORS,            /* index -> a map: datapath_set_mirror() */
	DATAPATH_MAPS
};

/**
 * datapath_open - adopt what is pinned, or load afresh
 * @pins: folder in a bpffs, for this ABI's folder inside it; created when missing
 * @limits: sizes for a fresh load; what is adopted keeps its own
 * @why: what is wrong and what to do
 *
 * Return: 0 or -errno. Nothing of the running data path has changed on error.
 */
int datapath_open(const char *pins, const struct limits *limits, struct datapath **ret, struct refusal *why);
void datapath_close(struct datapath *dp); /* programs and pins stay; accepts NULL */
DEFINE_CLEANUP(struct datapath, datapath_close)

bool datapath_adopted(const struct datapath *dp);
/* The sizes in force. */
const struct limits *datapath_limits(const struct datapath *dp);

/* As attach(), attach_detach() and attach_probe(), with the programs that are loaded. */
int datapath_attach(struct datapath *dp, uint32_t ifindex, const struct interface_model *wanted, struct attachment *ret,
		    struct refusal *why);
int datapath_detach(struct datapath *dp, const char *interface);
int datapath_probe(struct datapath *dp, const char *interface, uint32_t ifindex, char *ret_words, size_t size);

/* Calls @each for every interface that programs of ours run on. */
int datapath_each_interface(const char *pins, void (*each)(const char *interface, void *context), void *context);

/* Detach everything and remove every pin, with or without an open data path. 0 or -errno (-ENOENT: nothing there). */
int datapath_remove(const char *pins);

/* Arrays shared with the programs, by id. What the programs read while it is written must be one aligned store. */
struct service *datapath_service(struct datapath *dp, uint32_t id);
struct backend *datapath_backend(struct datapath *dp, uint32_t id);
struct row *datapath_row(struct datapath *dp, uint32_t row);
struct shadow *datapath_shadow(struct datapath *dp, uint32_t service);
struct shadow_guard *datapath_shadow_guard(struct datapath *dp);
const struct flow_tables *datapath_flow_tables(const struct datapath *dp);
/* What the daemon itself counts, of engine replay; datapath_shadow_counters() has it in its sums. */
struct shadow_counters *datapath_replay_counters(struct datapath *dp, uint32_t service);

int datapath_update(struct datapath *dp, enum datapath_map map, const void *key, const void *value);
int datapath_delete(struct datapath *dp, enum datapath_map map, const void *key);
int datapath_lookup(struct datapath *dp, enum datapath_map map, const void *key, void *ret_value);
/* Sets flags of a mirrored connection that is over. -ENOENT: it is another one by now. -EALREADY: a program has ended
 * and counted it. What packets write in the meantime may be lost, which is why it has to be over. */
int datapath_end_shadow_flow(struct datapath *dp, const struct flow_key *key, uint32_t serial, uint32_t flags);
/* First key with @key NULL. 0, or -ENOENT at the end. */
int datapath_next_key(struct datapath *dp, enum datapath_map map, const void *key, void *ret_next);

/**
 * datapath_batch - the next entries of a hash map
 * @cursor: zero to begin; opaque afterwards
 * @keys, @values: room for *@count entries
 * @count: in: room; out: entries read
 *
 * Return: 0 when there is more, 1 at the end (entries may still have been read), -errno.
 */
struct datapath_cursor {
	bool begun;
	__u64 opaque;
};
int datapath_batch(struct datapath *dp, enum datapath_map map, struct datapath_cursor *cursor, void *keys, void *values,
		   uint32_t *count);

/* Sums over all CPUs. 0 or -errno. */
int datapath_service_counters(struct datapath *dp, uint32_t id, struct service_counters *ret);
int datapath_shadow_counters(struct datapath *dp, uint32_t id, struct shadow_counters *ret);
int datapath_backend_counters(struct datapath *dp, uint32_t id, struct backend_counters *ret);
int datapath_measurements(struct datapath *dp, uint32_t id, struct measurements *ret);

/* Ids below @count at once, sums over all CPUs, few system calls: arrays of @count entries, to be freed. 0 or -errno.
 */
int datapath_all_backend_counters(struct datapath *dp, uint32_t count, struct backend_counters **ret);
int datapath_all_silent_counters(struct datapath *dp, uint32_t count, struct silent_counters **ret);

/**
 * datapath_each_measurements - the same one after the other, as all of them would fill megabytes
 * @wanted: [count], by id: which to read; id 0 is not
 * @each: called for each of them, in the order of ids
 *
 * Return: 0 or -errno.
 */
int datapath_each_measurements(struct datapath *dp, const bool *wanted, uint32_t count,
			       void (*each)(void *context, uint32_t id, const struct measurements *sum), void *context);

/* Sets the sum (on one CPU, zero on the others). Only for ids that no program counts on. */
int datapath_clear_shadow_counters(struct datapath *dp, uint32_t id);
int datapath_set_service_counters(struct datapath *dp, uint32_t id, const struct service_counters *counters);
int datapath_set_backend_counters(struct datapath *dp, uint32_t id, const struct backend_counters *counters);
int datapath_set_measurements(struct datapath *dp, uint32_t id, const struct measurements *sum);

/* What the maps take, by the kernel's own account: before Linux 6.4 an estimate, as if they were full. */
uint64_t datapath_memory_bytes(const struct datapath *dp);

/* For early.c: the ring buffer of fragments that came before their first one, and headgate_xdp_receive. The data path's
 * own fds. */
int datapath_early_fragments(const struct datapath *dp);
int datapath_receive_program(const struct datapath *dp);

/**
 * datapath_decide - what becomes of a client's packet, had it come
 * @in: the frame; its flow is told as if it had
 * @ret_out: the frame to be sent in its stead; at least @in_bytes and what an outer packet adds
 * @ret_bytes: in: room in @ret_out; out: its size
 *
 * Return: 0, -ENOENT: nothing is to be sent; -errno.
 */
int datapath_decide(struct datapath *dp, const void *in, uint32_t in_bytes, void *ret_out, uint32_t *ret_bytes);

/* Those of the mirror's far end; the data path's own fds. */
struct mirror_programs {
	int xdp;
	int tc;
};
struct mirror_programs datapath_mirror_programs(const struct datapath *dp);

/* What XDP sends out of @way_out with a copy has that go to @near. Both are ifindexes. @at: where the programs find it:
 * where it is already, or nothing is. 0 or -errno. */
int datapath_set_mirror(struct datapath *dp, uint32_t at, uint32_t way_out, uint32_t near);

/* For replay.c: the ring buffer of clients' segments. */
int datapath_replay_segments(const struct datapath *dp);

/* Returns when every packet that was being decided on when it was called has been decided: an RCU grace period. */
void datapath_quiesce(struct datapath *dp);

#endif
