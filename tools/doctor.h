/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DOCTOR_H
#define HEADGATE_DOCTOR_H

/* `headgate doctor`: what is looked at, by concern, and how a finding is told. */
#include "model.h"
#include "tool.h"

enum finding {
	FINDING_OK,
	FINDING_WARN,
	FINDING_FAIL,
};

struct doctor {
	json_t *checks;   /* [{"name", "result", "what", "mend"}, ..] */
	const char *pins; /* folder */
	bool failed;
};

/* Adds a finding. @name is the check's, one word; @format what was found. */
void doctor_find(struct doctor *d, enum finding finding, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The command that mends the last finding, or for an ok one a hint. */
void doctor_mend(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A sysctl's text without the newline, by its path below /proc/sys. 0 or -errno. */
int doctor_sysctl(const char *path, char *text, size_t size);

/* The same as a number; -EINVAL when it is none. */
int doctor_sysctl_number(const char *path, long *ret);

void doctor_check_host(struct doctor *d);
void doctor_check_interfaces(struct doctor *d, const struct model *model);
void doctor_check_modes(struct doctor *d, const struct model *model);
void doctor_check_services(struct doctor *d, const struct model *model);

/* @status: of the running daemon; NULL: there is none */
void doctor_check_shadows(struct doctor *d, const struct model *model, const json_t *status);

/* What the running daemon says of rollouts. */
void doctor_check_rollouts(struct doctor *d, const char *socket);

#endif
