/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_HOOK_XDP_H
#define HEADGATE_HOOK_XDP_H

/*
 * The XDP hook, which holds one program. Ours is there by a link:
 *
 *	PINS/vN/links/IFACE             it runs for as long as this file is there
 *
 * or in front of another program, in its place: netlink alone can replace what is there without a gap, so then there is
 * no link, and this remembers what to put back:
 *
 *	PINS/vN/chained/IFACE/program   the other program
 *	PINS/vN/chained/IFACE/map       the map by which ours hands over to it
 *	PINS/vN/chained/IFACE/parts     the map by which ours hands over to its own parts
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "model.h"
#include "refusal.h"

/* What runs on the XDP hook of an interface. */
enum xdp_owner {
	XDP_NOBODY,
	XDP_OURS,       /* by our link */
	XDP_OURS_CHAIN, /* in front of another program */
	XDP_FOREIGN,
};

struct xdp_hook {
	enum xdp_owner owner;
	enum attach_mode mode; /* native or generic */
	__u32 program;         /* id */
	char name[BPF_OBJ_NAME_LEN];
};

/* 0 or -errno. */
int hook_xdp_look(const char *pins, const char *interface, uint32_t ifindex, struct xdp_hook *ret);

/**
 * hook_xdp_link - run @program in @mode, where nothing does
 * Return: 0 or -errno.
 */
int hook_xdp_link(const char *pins, const char *interface, uint32_t ifindex, int program, enum attach_mode mode);

/* Replaces our program on a hook that has our link (XDP_OURS), without a gap. 0 or -errno. */
int hook_xdp_update(const char *pins, const char *interface, int program);

/* A program can be called by those only that are of its kind. */
struct program_kind {
	enum bpf_attach_type attach_type; /* expected_attach_type: both 0 and BPF_XDP are in use */
	__u32 flags;                      /* BPF_F_XDP_HAS_FRAGS or 0 */
};

struct chain_maps {
	int chained, parts; /* fds; -1: none yet */
};

/**
 * chain_loader - loads a program that hands over what it passes
 * @maps: those to use; where they are -1, new ones are put there, the caller's to close
 * @ret_program: the caller's to close
 */
typedef int (*chain_loader)(void *context, const struct program_kind *kind, struct chain_maps *maps, int *ret_program);

/**
 * hook_xdp_chain - run ours in front of the program that is there, or on in front of it
 * @found: XDP_FOREIGN or XDP_OURS_CHAIN
 * Return: 0 or -errno with @why.
 */
int hook_xdp_chain(const char *pins, const char *interface, uint32_t ifindex, const struct xdp_hook *found,
		   chain_loader load, void *context, struct refusal *why);

/* Name and id of the program that is behind ours (XDP_OURS_CHAIN). 0 or -errno. */
int hook_xdp_behind(const char *pins, const char *interface, __u32 *ret_id, char ret_name[BPF_OBJ_NAME_LEN]);

/* Takes ours off; the program that was there is back without a gap. 0 or -errno (-ENOENT: nothing of ours). */
int hook_xdp_detach(const char *pins, const char *interface, uint32_t ifindex);

/**
 * hook_xdp_probe - does the driver take native XDP?
 * For a moment, a program is there that passes everything. Only where nothing is.
 * Return: 0 or -errno, with the driver's words in @ret_words.
 */
int hook_xdp_probe(uint32_t ifindex, char *ret_words, size_t size);

#endif
