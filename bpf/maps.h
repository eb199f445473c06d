/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MAPS_H
#define HEADGATE_MAPS_H

/*
 * Every map, in the order in which a packet meets them. All are pinned. Sizes of 1 are set by the daemon before
 * loading.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"
#include "shadow_compare.h"

/* The ends that two of the maps below have as keys, so that nearly every packet is told by one look. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct known_ends);
} known_ends __weak SEC(".maps");

/* Virtual address, port, protocol -> service id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct service_key);
	__type(value, __u32);
} vips __weak SEC(".maps");

/* Addresses of services, for what has no port: the lowest id of a service with that address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, __u32);
} vip_addresses __weak SEC(".maps");

/* Server ids in QUIC connection ids -> backend id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct server_id_key);
	__type(value, __u32);
} server_ids __weak SEC(".maps");

/* First fragments of the last moments. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments __weak SEC(".maps");

/* Addresses of backends whose replies come by here: a set, for replies' fragments, which have no port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, __u32);
} reply_addresses __weak SEC(".maps");

/* Fragments that came before their first one, on their way to the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} early_fragments __weak SEC(".maps");

/* Who answers: backend's address, port, protocol. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct service_key);
	__type(value, struct reply_origin);
} reply_origins __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service);
} services __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct cohort_key);
	__type(value, struct cohort);
} cohorts __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct row);
} rows __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_layout);
} flow_layout __weak SEC(".maps");

/* Connections. What has not completed its handshake makes room for what is newer, so that a flood of SYNs hurts only
 * itself; nothing else is evicted, only the daemon takes out what is closed or idle. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows __weak SEC(".maps");

/* NAT's reverse direction. A port is free exactly when it has no entry here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port_bucket);
} source_ports __weak SEC(".maps");

/* Connections that are measured in modes without state. Nothing is evicted, so that what is counted stays right. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sampled_bucket);
} sampled_flows __weak SEC(".maps");

/* Addresses that NAT rewrites sources to, by id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOURCE_IDS_MAX);
	__type(key, __u32);
	__type(value, struct address);
} sources __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct backend);
} backends __weak SEC(".maps");

/* Who the backend ids are: read and written by the daemon alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct backend_identity);
} backend_identities __weak SEC(".maps");

/* The way to any client: this host's routes, neighbours and own addresses in one longest-prefix look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct next_hop_key);
	__type(value, struct next_hop_entry);
} next_hops __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct wanted_neighbour);
	__type(value, __u32);
} wanted_neighbours __weak SEC(".maps");

/* Interfaces that packets may leave by; key and value are the ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} devices __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service_counters);
} service_counters __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct backend_counters);
} backend_counters __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct measurements);
} measurements __weak SEC(".maps");

/* --- shadow --- */

/* By the service's id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shadow);
} shadows __weak SEC(".maps");

/* enum shadow_rule of source prefixes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct cohort_key);
	__type(value, __u32);
} shadow_rules __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shadow_guard);
} shadow_guard __weak SEC(".maps");

/* Of two devices: the mirror's near end and, the last one so that it gets the frame itself, the way out. */
struct mirror {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, MIRROR_DEVICES);
	__type(key, __u32);
	__type(value, __u32);
};

/* Where XDP sends a packet and its copy, by where the way out is in struct shadow_guard. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MIRROR_WAYS_MAX);
	__type(key, __u32);
	__type(value, __u32);
	__array(values, struct mirror);
} mirrors __weak SEC(".maps");

/* Addresses and MACs of shadows: a set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, __u32);
} shadow_hosts __weak SEC(".maps");

/* Mirrored connections: only the daemon takes them out, and the program whose connection begins anew. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, struct shadow_flow);
} shadow_flows __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct source_port_key);
	__type(value, struct shadow_port);
} shadow_ports __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct stash_key);
	__type(value, struct stash_segment);
} stash __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 25);
} replay_segments __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shadow_counters);
} shadow_counters __weak SEC(".maps");

/* Written by the daemon alone: what its own connections with shadows met. Here so that it outlives the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shadow_counters);
} replay_counters __weak SEC(".maps");

/* Values that are too large for the stack of 512 bytes, while they are put together. One program at a time runs on a
 * CPU. */
struct scratch {
	struct packet packet;
	__u32 seen; /* enum seen */
	struct link_header link;
	struct comparison comparison;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch __weak SEC(".maps");

static __always_inline struct scratch *scratch_space(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Written by the daemon alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct silent_counters);
} silent_counters __weak SEC(".maps");

/* Likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct variant_key);
	__type(value, struct remembered_counts);
} remembered __weak SEC(".maps");

#endif
