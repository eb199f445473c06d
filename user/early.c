// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "early.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "fragments.h"
#include "program.h"

#define AT_ONCE 64       /* in one go; a live frame takes some 10 us */
#define LEFT_BEHIND 1024 /* more than the ring buffer holds */

struct early {
	struct ring_buffer *ring;
	struct fragments *held;
	int receive; /* headgate_xdp_receive; the data path's */
	uint64_t now_ns;
	uint32_t to_discard;
	struct early_counts counts;
};

/* A ring_buffer_sample_fn; -errno stops after this one. */
static int take(void *context, void *data, size_t size)
{
	struct early *e = context;

	if (e->to_discard) {
		e->counts.dropped++;
		return --e->to_discard ? 0 : -ENOBUFS;
	}
	if (size < sizeof(struct early_fragment) || fragments_hold(e->held, data, e->now_ns))
		e->counts.dropped++;
	return fragments_full(e->held) ? -ENOBUFS : 0;
}

int early_create(struct datapath *dp, struct early **ret)
{
	_cleanup_(early_destroyp) struct early *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->receive = datapath_receive_program(dp);
	e->held = fragments_create();
	if (!e->held)
		return -ENOMEM;
	e->ring = ring_buffer__new(datapath_early_fragments(dp), take, e, NULL);
	if (!e->ring)
		return -errno;
	e->to_discard = LEFT_BEHIND;
	ring_buffer__consume(e->ring);
	e->to_discard = 0;
	*ret = TAKE_PTR(e);
	return 0;
}

void early_destroy(struct early *e)
{
	if (!e)
		return;
	ring_buffer__free(e->ring);
	fragments_destroy(e->held);
	free(e);
}

int early_fd(const struct early *e)
{
	return ring_buffer__epoll_fd(e->ring);
}

bool early_take(struct early *e, uint64_t now_ns)
{
	if (fragments_full(e->held))
		return false;
	e->now_ns = now_ns;
	ring_buffer__consume(e->ring);
	return !fragments_full(e->held);
}

/* The program that runs natively on an interface, whoever attached it, or -errno. */
static int open_native_program(uint32_t ifindex)
{
	__u32 id = 0;
	int error = bpf_xdp_query_id(ifindex, XDP_FLAGS_DRV_MODE, &id);

	if (error)
		return error;
	return id ? program_open(id) : -ENOENT;
}

/* 0 or -errno. */
static int receive(int program, struct early_fragment *fragment)
{
	static const __u8 again[] = EARLY_FRAGMENT_MAC;
	struct xdp_md context = {.data_end = fragment->length, .ingress_ifindex = fragment->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = fragment->frame, .data_size_in = fragment->length,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1, .batch_size = 1,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	memcpy(fragment->frame + sizeof(again), again, sizeof(again));
	return bpf_prog_test_run_opts(program, &options) ? -errno : 0;
}

void early_send(struct early *e, uint64_t now_ns)
{
	_cleanup_close_ int native = -1;
	struct early_fragment *fragment;
	uint32_t asked = 0;

	for (int sent = 0; sent < AT_ONCE; sent++) {
		fragment = fragments_due(e->held, now_ns);
		if (!fragment)
			return;
		if (fragment->ifindex != asked) {
			closep(&native);
			asked = fragment->ifindex;
			native = open_native_program(asked);
		}
		if (receive(native >= 0 ? native : e->receive, fragment))
			e->counts.dropped++;
		else
			e->counts.resent++;
		fragments_release(e->held);
	}
}

uint64_t early_next_ns(const struct early *e)
{
	return fragments_next_ns(e->held);
}

struct early_counts early_counts(const struct early *e)
{
	return e->counts;
}
