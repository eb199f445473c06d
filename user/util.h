/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_UTIL_H
#define HEADGATE_UTIL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hands a pointer over: the variable is NULL afterwards, so that its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                                    \
	({                                                                                                             \
		__typeof__(p) *_pp = &(p);                                                                             \
		__typeof__(p) _p = *_pp;                                                                               \
		*_pp = NULL;                                                                                           \
		_p;                                                                                                    \
	})

#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int *_pfd = &(fd);                                                                                     \
		int _fd = *_pfd;                                                                                       \
		*_pfd = -1;                                                                                            \
		_fd;                                                                                                   \
	})

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* Defines type##_freep() for _cleanup_, from type's own destructor, which accepts NULL. */
#define DEFINE_CLEANUP(type, destroy)                                                                                  \
	static inline void destroy##p(type **p)                                                                        \
	{                                                                                                              \
		destroy(*p);                                                                                           \
	}

/* Fowler, Noll and Vo's hash of 64 bits (FNV-1a, RFC 9923), which is weak in its upper bits. */
static inline uint64_t fnv1a(const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3;
	return hash;
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#endif
