/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_EXPOSITION_H
#define HEADGATE_EXPOSITION_H

/*
 * Prometheus' text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): a growing text, one
 * family after the other. Fast, as a page can have a hundred thousand lines. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum family_type {
	FAMILY_COUNTER,
	FAMILY_GAUGE,
	FAMILY_HISTOGRAM,
};

struct family {
	const char *name;
	enum family_type type;
	const char *help; /* one line, without backslashes: it is not escaped */
};

/* All zero to begin with. @text is to be freed, also after a failure. */
struct exposition {
	char *text; /* no NUL at its end before exposition_finish() */
	size_t length, size;
	bool failed; /* memory ran out: @text is not to be used */
	const struct family *family;
	bool announced; /* HELP and TYPE of @family are written */
};

/* What follows belongs to @family. Its HELP and TYPE are written before its first sample: without samples there are
 * none. */
void exposition_family(struct exposition *e, const struct family *family);

/*
 * One sample of the family, with an integer, a time or a real number.
 * @suffix: behind the family's name: "_bucket", "_sum", "_count" or ""
 * @labels: as exposition_labels() makes them, or ""
 * @extra: one label more, as text (`class="2xx"`), or NULL
 */
void exposition_integer(struct exposition *e, const char *suffix, const char *labels, const char *extra,
			uint64_t value);
void exposition_seconds(struct exposition *e, const char *suffix, const char *labels, const char *extra,
			unsigned __int128 ns);
void exposition_real(struct exposition *e, const char *suffix, const char *labels, const char *extra, double value);

/* Room for any time as text. */
#define SECONDS_TEXT_SIZE 48

/* Exactly @ns in seconds, as a decimal without needless zeros: "0.000016384". Returns its length. */
size_t seconds_format(unsigned __int128 ns, char text[SECONDS_TEXT_SIZE]);

/* Ends the text with a NUL. 0, or -ENOMEM if memory ran out anywhere. */
int exposition_finish(struct exposition *e);

struct label {
	const char *name;
	const char *value; /* any text: it is escaped */
};

/* `service="llm",variant="blue"`, to be freed; NULL when memory runs out. */
char *exposition_labels(const struct label *labels, size_t count);

#endif
