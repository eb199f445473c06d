// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "errands.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>

struct errand {
	struct errands *all;
	bool started;
	bool over; /* atomic: written by the thread as its last */
	pthread_t thread;
	errand_function work;
	void *input;
	char *text;
	errand_done_function done;
	void *context;
};

struct errands {
	int over; /* eventfd: one more is */
	sd_event_source *source;
	struct errand errand[ERRANDS_MAX];
};

static void *run(void *context)
{
	struct errand *one = context;
	uint64_t count = 1;

	one->text = one->work(one->input);
	__atomic_store_n(&one->over, true, __ATOMIC_RELEASE);
	/* Fails only when there is a count already. */
	return write(one->all->over, &count, sizeof(count)) < 0 ? NULL : one;
}

static int on_over(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct errands *e = context;
	uint64_t count;

	(void)source;
	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	for (size_t i = 0; i < ERRANDS_MAX; i++) {
		struct errand *one = &e->errand[i];

		if (!one->started || !__atomic_load_n(&one->over, __ATOMIC_ACQUIRE))
			continue;
		pthread_join(one->thread, NULL);
		one->started = false;
		one->done(one->context, one->text);
	}
	return 0;
}

int errands_create(sd_event *event, struct errands **ret)
{
	_cleanup_(errands_destroyp) struct errands *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		return -ENOMEM;
	e->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->over < 0)
		return -errno;
	error = sd_event_add_io(event, &e->source, e->over, EPOLLIN, on_over, e);
	if (error < 0)
		return error;
	*ret = TAKE_PTR(e);
	return 0;
}

void errands_destroy(struct errands *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < ERRANDS_MAX; i++) {
		if (!e->errand[i].started)
			continue;
		pthread_join(e->errand[i].thread, NULL);
		free(e->errand[i].text);
	}
	sd_event_source_disable_unref(e->source);
	if (e->over >= 0)
		close(e->over);
	free(e);
}

int errands_start(struct errands *e, errand_function work, void *input, errand_done_function done, void *context)
{
	struct errand *one = e->errand;
	int error;

	while (one < e->errand + ERRANDS_MAX && one->started)
		one++;
	if (one == e->errand + ERRANDS_MAX)
		return -EBUSY;
	*one = (struct errand){.all = e, .work = work, .input = input, .done = done, .context = context};
	error = pthread_create(&one->thread, NULL, run, one);
	one->started = !error;
	return -error;
}
