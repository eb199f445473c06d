/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HASH_H
#define HEADGATE_HASH_H

/*
 * The slot hash: which of the 65 536 slots a client falls in.
 *
 * Shared by the programs, the daemon (explain, settling) and the tests, because two copies that must agree bit for bit
 * would be one copy too many. Needs abi.h, nothing else; no branches, no loops.
 */
#include "abi.h"

/* Finalizer of MurmurHash3 (Austin Appleby, public domain): every input bit changes every output bit with p = 1/2. */
static inline __attribute__((always_inline)) __u64 hash_mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

/**
 * hash_client - 64-bit hash of a client
 * @seed: the service's
 * @client: the client's address, network byte order, IPv4 mapped
 * @port: the client's port in network byte order, as it lies in the packet; 0 for affinity by address
 *
 * Same value on every host and CPU of the same byte order.
 */
static inline __attribute__((always_inline)) __u64 hash_client(__u32 seed, const struct address *client, __be16 port)
{
	__u64 high = (__u64)client->word[0] << 32 | client->word[1];
	__u64 low = (__u64)client->word[2] << 32 | client->word[3];

	return hash_mix(hash_mix(high + ((__u64)seed << 32 | port)) + low * 0x9e3779b97f4a7c15ULL);
}

/* The slot is the hash's upper 16 bits; the lower ones are left for other choices (source port, sampling). */
static inline __attribute__((always_inline)) __u32 hash_slot(__u64 hash)
{
	return hash >> 48;
}

/* Which of SHADOW_SAMPLE_ALL parts a connection is in; those below a sample are mirrored. By the lower half of the hash
 * of its client and port (whatever the affinity), of which the slot knows nothing. */
static inline __attribute__((always_inline)) __u32 hash_sample(__u64 hash)
{
	return ((hash & 0xffffffff) * SHADOW_SAMPLE_ALL) >> 32;
}

/* Which of @count shadows a connection goes to: by another hash, as those of a sample have much of that one in common.
 */
static inline __attribute__((always_inline)) __u32 hash_shadow(const struct address *client, __be16 port, __u32 count)
{
	return ((hash_client(0, client, port) & 0xffffffff) * count) >> 32;
}

/**
 * hash_flow - where a flow is in the tables
 * @secret: of them
 */
static inline __attribute__((always_inline)) __u64 hash_flow(__u64 secret, const struct flow_key *key)
{
	__u64 high = (__u64)key->client.word[0] << 32 | key->client.word[1];
	__u64 low = (__u64)key->client.word[2] << 32 | key->client.word[3];
	__u64 ports = (__u64)key->service << 16 | key->port;

	/* What clients choose is never added to what they choose as well but by a factor that they do not know. */
	return hash_mix(hash_mix(high + secret) + low * 0x9e3779b97f4a7c15ULL + ports * (secret | 1));
}

/* The same of a source port, which nobody else chooses. */
static inline __attribute__((always_inline)) __u64 hash_source_port(const struct source_port_key *key)
{
	return hash_mix(((__u64)key->source_fold << 32 | (__u32)key->port << 16) +
			key->endpoint * 0x9e3779b97f4a7c15ULL);
}

/* An address in 32 bits, for keys whose value holds the whole address. */
static inline __attribute__((always_inline)) __u32 address_fold(const struct address *address)
{
	return address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];
}

/* Where in struct known_ends an address, folded, and a protocol's port are (Knuth, TAOCP 3, 6.4: multiplicative
 * hashing).
 */
static inline __attribute__((always_inline)) __u32 hash_end(__u32 folded, __be16 port, __u8 protocol)
{
	return (((__u64)protocol << 48 | (__u64)folded << 16 | port) * 0x9e3779b97f4a7c15ULL) >> 48;
}

#endif
