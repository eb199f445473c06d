/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_ATTACH_H
#define HEADGATE_ATTACH_H

/*
 * How the programs come to run on an interface, and from one way to another: the new one first wherever both can be, so
 * that no packet passes unsplit. (One that meets both is gone from the stack after the first.)
 */
#include <linux/bpf.h>
#include <stdint.h>

#include "hook_xdp.h"
#include "model.h"
#include "refusal.h"

struct attach_programs {
	int xdp, tc; /* fds */
	chain_loader load_chain;
	void *context; /* of @load_chain */
};

/* What runs on an interface. */
struct attachment {
	enum attach_mode mode; /* native, generic or tc */
	__u32 chained;         /* id of the program behind ours; 0: there is none */
	char chained_name[BPF_OBJ_NAME_LEN];
};

/**
 * attach - run the programs on an interface as @wanted, or on with newer ones where they run already
 * @wanted: ATTACH_AUTO means XDP: native, or in the mode of the program that it is chained to
 * Return: 0 or -errno with @why; what ran before still does.
 */
int attach(const char *pins, uint32_t ifindex, const struct interface_model *wanted,
	   const struct attach_programs *programs, struct attachment *ret, struct refusal *why);

/* Takes whatever of ours is there off. 0 or -errno (-ENOENT: there was nothing). */
int attach_detach(const char *pins, const char *interface);

/**
 * attach_probe - does an interface take native XDP?
 * Where a program of anybody's runs natively, or one that is not ours, the answer is yes: it will be seen at attach().
 * Ours in generic mode makes way: TC does its work meanwhile.
 * Return: 0 or -errno, with the driver's words in @ret_words.
 */
int attach_probe(const char *pins, const char *interface, uint32_t ifindex, const struct attach_programs *programs,
		 char *ret_words, size_t size);

#endif
