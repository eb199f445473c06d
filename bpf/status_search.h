/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_STATUS_SEARCH_H
#define HEADGATE_STATUS_SEARCH_H

/*
 * An HTTP/1 status line within a segment, behind the end of the response before it: a server that has the next request
 * already writes them one behind the other, and TCP does not keep them apart.
 */
#include "measuring.h"

#define SEARCH_BYTES 2048U /* a power of two: how far into a frame is looked */
#define STATUS_LINE_BYTES 12U

struct status_search {
	const __u8 *data; /* the frame */
	const __u8 *end;
	__u32 at;    /* where to begin, below HEADERS_MAX */
	__u32 found; /* where the line may begin; 0: nowhere */
};

/* One of four bytes in a row is the first of a word of them that lies within "HTTP/1.", wherever that begins. */
static long status_search_step(__u32 i, struct status_search *s)
{
	__u32 at = (s->at + 4 * i) & (SEARCH_BYTES - 1);
	const __u8 *word;

	asm volatile("" : "+r"(at));
	word = s->data + at;
	if (word + 4 > s->end)
		return 1;
	if (word[0] == 'H' && word[1] == 'T' && word[2] == 'T' && word[3] == 'P')
		s->found = at;
	else if (word[0] == 'T' && word[1] == 'T' && word[2] == 'P' && word[3] == '/')
		s->found = at - 1;
	else if (word[0] == 'T' && word[1] == 'P' && word[2] == '/' && word[3] == '1')
		s->found = at - 2;
	else if (word[0] == 'P' && word[1] == '/' && word[2] == '1' && word[3] == '.')
		s->found = at - 3;
	return s->found != 0;
}

/* The class of the line at @at, as status_class() has it. */
static __always_inline __u32 status_class_at(const struct frame *f, __u32 at)
{
	const __u8 *line;

	at &= SEARCH_BYTES - 1;
	asm volatile("" : "+r"(at));
	line = f->data + at;
	if ((void *)(line + STATUS_LINE_BYTES) > f->end)
		return 0;
	if (line[0] != 'H' || line[1] != 'T' || line[2] != 'T' || line[3] != 'P' || line[4] != '/' || line[5] != '1' ||
	    line[6] != '.' || line[8] != ' ' || line[9] < '1' || line[9] > '5')
		return 0;
	return line[9] - '0';
}

/**
 * status_search - the first thing in a segment that looks like a status line
 * @ret_at: where it is, in bytes from the payload's first
 * Return: its class, or 0: there is none. It costs about a microsecond.
 */
static __always_inline __u32 status_search(const struct frame *f, const struct packet *p, __u32 *ret_at)
{
	__u32 begin = p->l4 + p->tcp_header_bytes;
	struct status_search s = {.data = f->data, .end = f->end, .at = begin};
	__u32 class;

	if (begin >= HEADERS_MAX || p->payload_bytes < STATUS_LINE_BYTES)
		return 0;
	bpf_loop((SEARCH_BYTES - HEADERS_MAX) / 4, status_search_step, &s, 0);
	if (s.found < begin || s.found + STATUS_LINE_BYTES > begin + p->payload_bytes)
		return 0;
	class = status_class_at(f, s.found);
	if (class)
		*ret_at = s.found - begin;
	return class;
}

#endif
