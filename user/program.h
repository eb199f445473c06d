/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_PROGRAM_H
#define HEADGATE_PROGRAM_H

/* Programs in the kernel, by their ids: whose they are, and what they are called. And the kernel's words on a refusal.
 */
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>

/**
 * program_open - a program by its id
 * Return: an fd or -errno.
 */
int program_open(__u32 id);

/* The kernel's name of a program, of at most 15 characters; empty when it has none. */
void program_name(int program, char name[BPF_OBJ_NAME_LEN]);

/* True when a program uses a map that is pinned there, by its name. */
bool program_uses(int program, const char *pins, const char *map);

/* True when it is one of the hooks', by that: it is ours, whatever daemon loaded it, and whenever. */
bool program_is_ours(int program, const char *pins);

/**
 * kernel_words_hear - what libbpf prints
 * Keeps the kernel's words on why netlink refused, which no return value carries.
 */
void kernel_words_hear(const char *format, va_list arguments);

/* What the kernel said since this was asked last, or what @error (-errno) means. Valid until the next call. */
const char *kernel_words(int error);

#endif
