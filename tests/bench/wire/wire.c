// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 *   wire SENDER-NAMESPACE RECEIVER-NAMESPACE RECEIVER-INTERFACES ROUNDS MILLISECONDS KSOFTIRQD <WAYS
 *   wire forward IN OUT
 *
 * Sends packets from interfaces of one namespace, and counts what comes to interfaces of another, all on the CPU that
 * it is called on: one way after the other, so many rounds. A way is a line: NAME INTERFACE PROTOCOL PORT FLOWS FORM,
 * where FORM is how packets have to arrive: as_sent, tunnel, routed or translated. KSOFTIRQD is the schedstat file of
 * that CPU's thread. Prints, for each way and round, NAME, packets and copies a second of the processor's work, and the
 * share of what was sent that came.
 *
 * The second form has what comes in by one interface leave by another at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../../bpf/packet.h"
#include "wire.h"
#include "wire.skel.h"

#define VIRTUAL_ADDRESS "10.0.0.10"
#define CLIENT_ADDRESS "10.10.0.2"
#define CLIENT_SEQUENCE 1U
#define BATCH 64U /* frames at a time: a quarter of what veth's ring takes */
#define TRIAL_PACKETS 8192U
#define WAYS_MAX 32U
#define FRAME_BYTES 100U

struct way {
	char name[32], interface[IF_NAMESIZE], protocol[4], form_name[16];
	enum form form;
	__u16 port;
	__u32 flows;
	__u32 ifindex;
	__u32 packets; /* a measurement */
};

static const char *const form_names[FORMS] = {"as_sent", "tunnel", "routed", "translated"};

static void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *namespace)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

static void attach(const char *interface, const struct bpf_program *program)
{
	__u32 ifindex = if_nametoindex(interface);

	if (!ifindex || bpf_xdp_attach((int)ifindex, bpf_program__fd(program), XDP_FLAGS_DRV_MODE, NULL))
		die(interface);
}

static struct wire_bpf *load(void)
{
	struct wire_bpf *bpf = wire_bpf__open_and_load();

	if (!bpf)
		die("the programs do not load (are you root?)");
	bpf->bss->random_state = 1;
	bpf->bss->virtual_address = inet_addr(VIRTUAL_ADDRESS);
	bpf->bss->client_address = inet_addr(CLIENT_ADDRESS);
	return bpf;
}

/* What is sent from now on; the port of each flow, and what it adds to the checksum, are the sender's to fill in. */
static void prepare(struct wire_bpf *bpf, const struct way *w, __u8 flags, struct frame *ret)
{
	const bool tcp = strcmp(w->protocol, "tcp") == 0;
	const bool data = !tcp || !(flags & SYN);
	const struct segment segment = {
		.from = CLIENT_ADDRESS,
		.to = VIRTUAL_ADDRESS,
		.to_port = w->port,
		.from_mac = 1,
		.to_mac = 2,
		.protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
		.flags = flags,
		.window = 65535,
		.sequence = CLIENT_SEQUENCE + (flags & SYN ? 0 : 1),
		.acknowledged = flags & ACK ? RECEIVER_SEQUENCE + 1 : 0,
		.payload_bytes = data ? FRAME_BYTES - 14 - 20 - (tcp ? 20 : 8) : 0,
	};
	struct sending *sending = &bpf->bss->sending;

	frame_build(&segment, ret);
	put16(ret->data + 34, 0);
	l4_set_checksum(ret->data + 14, ret->data + 34, ret->bytes - 34, segment.protocol);
	memset(sending, 0, sizeof(*sending));
	sending->checksum = ~get16(ret->data + (tcp ? 50 : 40)) & 0xffff;
	sending->udp = !tcp;
	memcpy(sending->ethernet, ret->data, 14);
	memcpy(sending->header, ret->data + 14, sizeof(sending->header));
	sending->flows = w->flows;
	sending->ifindex = w->ifindex;
}

static void run(const struct wire_bpf *bpf, const struct frame *frame, __u32 packets)
{
	__u8 data[SPARE_BYTES + FRAME_BYTES] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = SPARE_BYTES + frame->bytes,
		    .repeat = (int)packets, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);

	memcpy(data + SPARE_BYTES, frame->data, frame->bytes);
	if (bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.sender), &opts))
		die("test run");
}

/* Until nothing is under way any more. */
static void settle(const struct wire_bpf *bpf)
{
	const volatile __u64 *received = bpf->bss->received, *copies = &bpf->bss->copies;
	__u64 last = 0, now = 0;

	do {
		last = now;
		usleep(2000);
		now = *copies;
		for (int form = 0; form < FORMS; form++)
			now += received[form];
	} while (now != last);
}

/* Every flow once, in turn. */
static void send_each(struct wire_bpf *bpf, const struct way *w, __u8 flags)
{
	struct frame frame;

	prepare(bpf, w, flags, &frame);
	bpf->bss->sending.in_turn = 1;
	run(bpf, &frame, w->flows);
	settle(bpf);
}

static void open_flows(struct wire_bpf *bpf, const struct way *w)
{
	if (strcmp(w->protocol, "tcp") || w->form == FORM_AS_SENT || w->form == FORM_TUNNEL) {
		send_each(bpf, w, ACK);
		return;
	}
	bpf->bss->answers = 0;
	send_each(bpf, w, SYN);
	if (bpf->bss->answers != w->flows) {
		fprintf(stderr, "wire: %s: %llu of %u connections opened\n", w->name,
			(unsigned long long)bpf->bss->answers, w->flows);
		exit(1);
	}
	send_each(bpf, w, ACK);
}

/*
 * What the processor has worked: for this thread, which packets' soft interrupts borrow, and for the kernel's, which
 * takes over what is too much for them. Who else it works for does not count, so that neighbours do no harm.
 */
static double worked_s(const char *ksoftirqd)
{
	struct timespec own;
	FILE *f = fopen(ksoftirqd, "r");
	unsigned long long ns;

	if (!f || fscanf(f, "%llu", &ns) != 1)
		die(ksoftirqd);
	fclose(f);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
	return (double)own.tv_sec + (double)own.tv_nsec / 1e9 + (double)ns / 1e9;
}

/* Packets that arrived, a second of work; what came in another form than it should is as good as lost. */
static double measure(struct wire_bpf *bpf, const struct way *w, __u32 packets, const char *ksoftirqd,
		      double *ret_copies, double *ret_share)
{
	__u64 received = bpf->bss->received[w->form], copies = bpf->bss->copies;
	struct frame frame;
	double began, took;

	prepare(bpf, w, ACK, &frame);
	began = worked_s(ksoftirqd);
	run(bpf, &frame, packets);
	took = worked_s(ksoftirqd) - began;
	received = bpf->bss->received[w->form] - received;
	*ret_copies = (double)(bpf->bss->copies - copies) / took;
	*ret_share = (double)received / packets;
	settle(bpf);
	return (double)received / took;
}

static __u32 read_ways(struct way *ret)
{
	__u32 count = 0;
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		struct way *w = &ret[count];

		if (count == WAYS_MAX || sscanf(line, "%31s %15s %3s %hu %u %15s", w->name, w->interface, w->protocol,
						&w->port, &w->flows, w->form_name) != 6) {
			fprintf(stderr, "wire: what is this: %s", line);
			exit(2);
		}
		for (w->form = 0; w->form < FORM_ELSE; w->form++)
			if (strcmp(w->form_name, form_names[w->form]) == 0)
				break;
		w->ifindex = if_nametoindex(w->interface);
		if (!w->ifindex)
			die(w->interface);
		count++;
	}
	return count;
}

static void attach_to_all(const char *interfaces, const struct bpf_program *program)
{
	char *list = strdup(interfaces), *rest = list, *name;

	while ((name = strsep(&rest, ",")))
		attach(name, program);
	free(list);
}

static void forward(const char *in, const char *out)
{
	struct wire_bpf *bpf = load();
	__u32 index = 0, ifindex = if_nametoindex(out);

	if (bpf_map_update_elem(bpf_map__fd(bpf->maps.way), &index, &ifindex, BPF_ANY))
		die(out);
	attach(in, bpf->progs.forwarder);
}

/* Opens each way's flows, and learns how many packets a measurement of it takes. */
static void open_ways(struct wire_bpf *bpf, struct way *ways, __u32 count, int milliseconds, const char *ksoftirqd)
{
	double pps, copies, share;

	for (struct way *w = ways; w < ways + count; w++) {
		attach(w->interface, bpf->progs.answered);
		open_flows(bpf, w);
		pps = measure(bpf, w, TRIAL_PACKETS, ksoftirqd, &copies, &share);
		w->packets = (__u32)(pps * milliseconds / 1000) + BATCH;
	}
}

int main(int argc, char **argv)
{
	struct way ways[WAYS_MAX] = {};
	double pps, copies, share;
	struct wire_bpf *bpf;
	__u32 count;

	if (argc == 4 && strcmp(argv[1], "forward") == 0) {
		forward(argv[2], argv[3]);
		return 0;
	}
	if (argc != 7)
		return 2;
	bpf = load();
	enter(argv[2]);
	attach_to_all(argv[3], bpf->progs.receiver);
	enter(argv[1]);
	count = read_ways(ways);
	open_ways(bpf, ways, count, atoi(argv[5]), argv[6]);
	for (int round = 0; round < atoi(argv[4]); round++)
		for (__u32 i = 0; i < count; i++) {
			pps = measure(bpf, &ways[i], ways[i].packets, argv[6], &copies, &share);
			printf("%s %.0f %.0f %.4f\n", ways[i].name, pps, copies, share);
		}
	wire_bpf__destroy(bpf);
	return 0;
}
