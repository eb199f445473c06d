/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHILD_H
#define HEADGATE_CHILD_H

/* Servers of other make that a test runs; to be included after cmocka.h. */
#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int input; /* a server ends with it, or is ended */
	FILE *output;
	uint16_t port;
};

/* Runs a program in @where. It ends with this one, even if that crashes. */
static inline void spawn(struct child *child, const char *where, char *const arguments[])
{
	int input[2], output[2];

	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(input[0], 0) == 0 && dup2(output[1], 1) == 1 && !chdir(where))
			execv(arguments[0], arguments);
		perror(arguments[0]);
		_exit(127);
	}
	close(input[0]);
	close(output[1]);
	child->input = input[1];
	child->output = fdopen(output[0], "r");
	assert_non_null(child->output);
}

/* Reads what a server says until a line begins with @word; its last number is the port. */
static inline void await_port(struct child *child, const char *word)
{
	char line[256];

	while (fgets(line, sizeof(line), child->output)) {
		const char *end = line + strlen(line);

		if (strncmp(line, word, strlen(word)))
			continue;
		while (end > line && !isdigit((unsigned char)end[-1]))
			end--;
		while (end > line && isdigit((unsigned char)end[-1]))
			end--;
		child->port = atoi(end);
		return;
	}
	fail_msg("a server ended before it said %s", word);
}

/* Returns the exit status, -1 if a signal ended it. */
static inline int reap(struct child *child, int signal)
{
	int status = -1;

	if (child->pid < 0)
		return -1;
	close(child->input);
	if (signal)
		kill(child->pid, signal);
	waitpid(child->pid, &status, 0);
	fclose(child->output);
	child->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
