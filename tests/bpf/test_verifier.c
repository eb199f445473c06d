// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the kernel's verifier makes of every program of bpf/: this kernel accepts it, and has not much more to walk than
 * verifier-budget allows, so that no change comes near the limit of a million instructions unnoticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "util.h"

#define PROGRAMS_MAX 64
#define BUDGET_FILE "tests/bpf/verifier-budget" /* from the project's folder, where tests run */

struct budget {
	char program[64];
	__u32 instructions;
};

struct subject {
	struct bpf_object *object;
	struct bpf_program *program;
};

static struct budget budgets[PROGRAMS_MAX];
static struct subject subjects[PROGRAMS_MAX];
static size_t budget_count, subject_count;

static void die(const char *what, const char *name)
{
	fprintf(stderr, "%s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

static void read_budgets(void)
{
	_cleanup_fclose_ FILE *file = fopen(BUDGET_FILE, "r");
	char line[256];

	if (!file)
		die("cannot open", BUDGET_FILE);
	while (fgets(line, sizeof(line), file)) {
		struct budget *b = &budgets[budget_count];

		if (line[0] == '#')
			continue;
		if (budget_count == PROGRAMS_MAX || sscanf(line, "%63s %u", b->program, &b->instructions) != 2)
			die("too long, or not a program and a figure, in " BUDGET_FILE ":", line);
		budget_count++;
	}
}

/* The programs of the object that was made of bpf/NAME.bpf.c. */
static void open_object(const char *source)
{
	const char *build = getenv("LAB_BUILD"), *name = strrchr(source, '/') + 1;
	struct bpf_program *program;
	struct bpf_object *object;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%.*s.o", build ? build : "build", (int)strlen(name) - 2, name);
	object = bpf_object__open_file(path, NULL);
	if (!object)
		die("cannot open", path);
	bpf_object__for_each_program(program, object)
	{
		if (subject_count == PROGRAMS_MAX)
			die("too many programs in", path);
		subjects[subject_count++] = (struct subject){object, program};
	}
}

static void open_objects(void)
{
	glob_t sources;

	if (glob("bpf/*.bpf.c", 0, NULL, &sources))
		die("cannot find", "bpf/*.bpf.c");
	for (size_t i = 0; i < sources.gl_pathc; i++)
		open_object(sources.gl_pathv[i]);
	globfree(&sources);
}

/* 0: it has none, which no program keeps to. */
static __u32 budget_of(const char *program)
{
	for (size_t i = 0; i < budget_count; i++) {
		if (strcmp(budgets[i].program, program) == 0)
			return budgets[i].instructions;
	}
	return 0;
}

static void is_accepted_within_its_budget(void **state)
{
	struct subject *s = *state;
	const char *name = bpf_program__name(s->program);
	__u32 allowed = budget_of(name), bytes;
	struct bpf_prog_info info = {};
	struct utsname kernel;

	/* The first program of an object loads them all. */
	if (bpf_program__fd(s->program) < 0 && bpf_object__load(s->object))
		fail_msg("%s does not load: %s (are you root?)", bpf_object__name(s->object), strerror(errno));
	bytes = sizeof(info);
	assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(s->program), &info, &bytes), 0);
	assert_int_equal(uname(&kernel), 0);
	printf("# %s: %u instructions verified on %s, budget %u\n", name, info.verified_insns, kernel.release, allowed);
	assert_in_range(info.verified_insns, 1, allowed);
}

static void every_budget_is_a_program_s(void **state)
{
	(void)state;
	for (size_t i = 0; i < budget_count; i++) {
		size_t j = 0;

		while (j < subject_count && strcmp(bpf_program__name(subjects[j].program), budgets[i].program))
			j++;
		if (j == subject_count)
			fail_msg(BUDGET_FILE " has %s, which is no program", budgets[i].program);
	}
}

int main(void)
{
	struct CMUnitTest tests[PROGRAMS_MAX + 1] = {cmocka_unit_test(every_budget_is_a_program_s)};
	char names[PROGRAMS_MAX][128];
	int failed;

	read_budgets();
	open_objects();
	for (size_t i = 0; i < subject_count; i++) {
		snprintf(names[i], sizeof(names[i]), "%s_is_accepted_within_its_budget",
			 bpf_program__name(subjects[i].program));
		tests[i + 1] = (struct CMUnitTest){
			.name = names[i],
			.test_func = is_accepted_within_its_budget,
			.initial_state = &subjects[i],
		};
	}
	failed = _cmocka_run_group_tests("verifier", tests, subject_count + 1, NULL, NULL);
	for (size_t i = 0; i < subject_count; i++) {
		if (i + 1 == subject_count || subjects[i].object != subjects[i + 1].object)
			bpf_object__close(subjects[i].object);
	}
	return failed;
}
