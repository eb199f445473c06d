/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_BUCKET_H
#define HEADGATE_BUCKET_H

/*
 * Hash tables whose entries lie side by side and never move: a bucket is a row of entries, and of tags for them. An
 * entry is found by its tag, which holds some bits of its key's hash (as in the tables that Abseil calls Swiss), and
 * most often is the first one that is looked at, so that a packet waits for memory once. Whoever wants an entry takes
 * it by compare-and-swap of its tag; nothing is locked. Shared by the programs and the daemon, which has the tables
 * mapped. Needs abi.h, nothing else.
 */
#include "abi.h"

#define BUCKET_CHOICES 8U /* entries among which the oldest makes room (as Redis has it: approximated LRU) */
#define BUCKET_NEAR 8U    /* places, from the first one on, where a new entry is put if one of them is free */

/*
 * What is looked at for a key: the nearest entry with its print, which nearly always is the key's, or all of them. The
 * latter takes a function, at whose call Linux 6.1's verifier forgets which numbers do not matter to it: it then walks
 * three times as far.
 */
enum search { SEARCH_NEAREST, SEARCH_ALL };

/* Where an entry with a key may be: which bucket, which of its entries first, and what its tag has of the hash. */
struct place {
	__u32 bucket;
	__u32 first;
	__u32 print;
};

static inline __attribute__((always_inline)) struct place place_of(__u64 hash, __u32 buckets)
{
	return (struct place){
		.bucket = (hash >> 32) * buckets >> 32,
		.first = (__u32)(hash & 0xff) * BUCKET_ENTRIES >> 8,
		.print = (__u32)(hash << 8) & TAG_PRINT,
	};
}

/*
 * An entry's number as the verifier wants to see it: clang, which knows it to be small, would leave out the mask. Of 64
 * bits, so that it is not made of 32 by shifts of which Linux 6.1 learns nothing.
 */
static inline __attribute__((always_inline)) __u64 within(__u64 at)
{
	at &= BUCKET_PLACES - 1;
	asm volatile("" : "+r"(at));
	return at;
}

/* All ones where @value is below zero, else zero; made so that clang makes no branch of it. */
static inline __attribute__((always_inline)) __s64 where_negative(__s64 value)
{
	asm volatile("" : "+r"(value));
	value >>= 63;
	asm volatile("" : "+r"(value));
	return value;
}

/* All ones where an entry is not free, and has that print; else zero. */
static inline __attribute__((always_inline)) __s64 tag_has(__u32 tag, __u32 print)
{
	return where_negative((__s64)((tag & TAG_PRINT) ^ print) - 1) & where_negative(-(__s64)tag);
}

/* @at where @tag is a free entry's, else @free. Without a branch, for the verifier's sake. */
static inline __attribute__((always_inline)) __u32 free_one(__u32 free, __u32 at, __u32 tag)
{
	return free + ((at - free) & (__u32)where_negative((__s64)tag - 1));
}

/* An entry that can be read, and whose key may be the one with that print. */
static inline __attribute__((always_inline)) _Bool tag_may_be(__u32 tag, __u32 print)
{
	return (tag & (TAG_USED | TAG_PRINT)) == (TAG_USED | print);
}

static inline __attribute__((always_inline)) _Bool tag_is_kept(__u32 tag)
{
	return (tag & (TAG_USED | TAG_KEPT)) == (TAG_USED | TAG_KEPT);
}

/* It makes room for another one when there is no other. */
static inline __attribute__((always_inline)) _Bool tag_may_go(__u32 tag)
{
	return (tag & (TAG_USED | TAG_KEPT)) == TAG_USED;
}

/* The nearest entry that may be the one with that print. Return: its number; where there is none, another place's. */
static inline __attribute__((always_inline)) __u32 bucket_nearest(const struct bucket_tags *tags,
								  const struct place *place)
{
	__u64 at = within(place->first);

	for (__u32 i = 1; i <= BUCKET_PLACES; i++) {
		asm volatile("" : "+r"(i)); /* else clang unrolls it */
		if (tag_may_be(*(const volatile __u32 *)&tags->tag[at], place->print))
			break;
		at = within(place->first + i);
	}
	return at;
}

/* A free entry near a place, the nearest; or else @far. */
static inline __attribute__((always_inline)) __u32 bucket_free_near(const struct bucket_tags *tags, __u32 first,
								    __u32 far)
{
	for (__u32 i = 0; i < BUCKET_NEAR; i++) {
		__u64 at = within(first + i);

		if (at < BUCKET_ENTRIES && !*(const volatile __u32 *)&tags->tag[at])
			return at;
	}
	return far;
}

/* Of an entry that somebody writes. */
static inline __attribute__((always_inline)) __u32 tag_writing(__u32 print, __u32 moment)
{
	return TAG_WRITTEN | print | (moment & TAG_MOMENT);
}

/* Return: whether it still was @was, and is @now from then on. */
static inline __attribute__((always_inline)) _Bool tag_swap(__u32 *tag, __u32 was, __u32 now)
{
	return __sync_val_compare_and_swap(tag, was, now) == was;
}

/*
 * Which of a few entries from @first on is free, or has not been kept and was seen least recently: of as many as these,
 * it nearly is the least recent of all. @now: a tag of this moment. Without branches: the verifier would follow each of
 * them as often as there are entries. Return: its number, or BUCKET_ENTRIES: all of them are kept.
 */
static inline __attribute__((always_inline)) __u32 bucket_oldest(const struct bucket_tags *tags, __u32 first, __u32 now)
{
	__s64 oldest = BUCKET_ENTRIES;

	for (__u32 i = 0; i < BUCKET_CHOICES; i++) {
		__u64 at = within(first + i);
		__u32 tag = *(const volatile __u32 *)&tags->tag[at];
		__s64 is_free = where_negative((__s64)tag - 1);
		__s64 not_kept = where_negative((__s64)((tag & (TAG_USED | TAG_KEPT)) ^ TAG_USED) - 1);
		__s64 age = (now - tag) & TAG_MOMENT;

		age &= where_negative(age - TAG_MOMENT / 2); /* else it was seen a moment ahead, by another clock */
		age = ((age + 1) | (is_free & (TAG_MOMENT + 2))) << 8 | (__s64)at;
		age &= (not_kept | is_free) & where_negative((__s64)at - BUCKET_ENTRIES);
		oldest += (age - oldest) & where_negative(oldest - age);
	}
	return oldest & 0xff;
}

/* Whether one entry alone has that print. Of two that are taken at once with one print, at least one is told. */
static inline __attribute__((always_inline)) _Bool bucket_is_alone(const struct bucket_tags *tags, __u32 print)
{
	__s64 others = -1;

	for (__u32 at = 0; at < BUCKET_ENTRIES; at++) {
		__u32 tag = *(const volatile __u32 *)&tags->tag[at];

		others -= tag_has(tag, print);
	}
	return !others;
}

/**
 * bucket_take - an entry for a new key: the nearest free one, or else the one that has not been kept for longest
 * @first: the key's place
 * @free: one that was free a moment ago, should none near its place be; or BUCKET_ENTRIES
 * @writing: tag_writing(): its tag until tag_publish()
 * Return: its number, with BUCKET_EVICTED if somebody makes room; or BUCKET_NONE: there is no room, or others were
 * quicker.
 */
static inline __attribute__((always_inline)) __u32 bucket_take(struct bucket_tags *tags, __u32 first, __u32 free,
							       __u32 writing)
{
	__u32 oldest = BUCKET_ENTRIES, near, *tag, was;

	near = bucket_free_near(tags, first, free);
	if (near < BUCKET_ENTRIES && tag_swap(&tags->tag[within(near)], 0, writing))
		return near;
	if (free < BUCKET_ENTRIES && tag_swap(&tags->tag[within(free)], 0, writing))
		return free;
	for (__u32 i = 0; i < BUCKET_PLACES; i += BUCKET_CHOICES) {
		oldest = bucket_oldest(tags, first + i, writing);
		if (oldest < BUCKET_ENTRIES)
			break;
	}
	if (oldest >= BUCKET_ENTRIES)
		return BUCKET_NONE;
	tag = &tags->tag[within(oldest)];
	was = *(volatile __u32 *)tag;
	if ((was && !tag_may_go(was)) || !tag_swap(tag, was, writing))
		return BUCKET_NONE;
	return was ? oldest | BUCKET_EVICTED : oldest;
}

/*
 * The entry that was taken has been written. @kept: it makes room for nobody. On x86 others see what was written
 * before; on processors that keep no such order who looks it up at this very moment may miss it, as if a little
 * earlier.
 */
static inline __attribute__((always_inline)) void tag_publish(__u32 *tag, _Bool kept)
{
	__u32 now = (*(volatile __u32 *)tag & ~TAG_WRITTEN) | TAG_USED | (kept ? TAG_KEPT : 0);

	asm volatile("" : : : "memory");
	*(volatile __u32 *)tag = now;
}

/* It is not going to be written after all. */
static inline __attribute__((always_inline)) void tag_give_back(__u32 *tag)
{
	*(volatile __u32 *)tag = 0;
}

#endif
