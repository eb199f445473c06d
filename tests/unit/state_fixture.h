/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_TESTS_STATE_FIXTURE_H
#define HEADGATE_TESTS_STATE_FIXTURE_H

/* A state file in a folder of its own, and the models around it. Include cmocka.h before. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "state.h"

struct fixture {
	char folder[64], path[96], damaged[128]; /* the file, and what it is called once it is found damaged */
	struct state_notes notes;
	struct model *configured, *running, *merged;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->folder, "/tmp/headgate-test-state-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/state.json", f->folder);
	snprintf(f->damaged, sizeof(f->damaged), "%s.damaged", f->path);
	*state = f;
	return 0;
}

/* Fails, and with it the test, if anything but the file was left there. */
static inline int teardown(void **state)
{
	struct fixture *f = *state;
	int err;

	unlink(f->path);
	err = rmdir(f->folder);
	state_notes_clear(&f->notes);
	model_free(f->configured);
	model_free(f->running);
	model_free(f->merged);
	free(f);
	return err;
}

#endif
