// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "shadow_rig.h"

static struct rig rig; /* the links are made once */

/* --- links --- */

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static int packet_socket(__u32 ifindex, int protocol)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = (int)ifindex};
	int one = 1, room = 1 << 22, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0); /* a frame is a page */
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The far end of the link: a program there has it take frames from others' XDP programs. */
static void pass_everything(__u32 ifindex)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "Dual BSD/GPL", pass, sizeof(pass) / sizeof(pass[0]),
				    &options);

	assert_true(program >= 0);
	assert_int_equal(bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE, NULL), 0);
	close(program);
}

/* One CPU: packets keep their order, and there is one budget. */
static void stay_on_this_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static void make_links(void)
{
	stay_on_this_cpu();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
	run("ip link add near mtu 3400 type veth peer name far mtu 3400");
	run("ip link add split mtu 3400 type veth peer name shadow mtu 3400");
	rig.near = if_nametoindex("near");
	rig.far = if_nametoindex("far");
	rig.split = if_nametoindex("split");
	rig.shadow = if_nametoindex("shadow");
	pass_everything(rig.shadow);
	run("for i in near far split shadow; do ip link set $i up || exit 1; done");
	run("ethtool -K shadow gro off"); /* each segment is looked at */
	rig.in_mirror = packet_socket(rig.near, 0);
	rig.at_shadow = packet_socket(rig.shadow, ETH_P_ALL);
	/* Of one protocol: these get only what the hooks have passed. */
	rig.at_host[0] = packet_socket(rig.split, ETH_P_IP);
	rig.at_host[1] = packet_socket(rig.split, ETH_P_IPV6);
	rig.at_host[2] = packet_socket(rig.split, ETH_P_ARP);
}

static void attach_tc(__u32 ifindex, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE);
	int error = bpf_tc_hook_create(&hook);

	assert_true(!error || error == -EEXIST);
	assert_int_equal(bpf_tc_attach(&hook, &options), 0);
}

static void detach_tc(__u32 ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	bpf_tc_hook_destroy(&hook);
}

/* Whose programs are attached, for which hook: to attach takes longer than most tests. */
static const struct fixture *attached;
static enum hook attached_hook;

static void attach(void)
{
	const struct fixture *f = rig.fixture;
	libbpf_print_fn_t print;

	if (f == attached && fixture_hook == attached_hook)
		return;
	print = libbpf_set_print(NULL); /* it complains of what is, or is not, there already */
	assert_int_equal(bpf_xdp_attach(rig.far, fixture_program(f, "headgate_mirror"), XDP_FLAGS_DRV_MODE, NULL), 0);
	attach_tc(rig.far, fixture_program(f, "headgate_mirror_tc"));
	if (fixture_hook == HOOK_XDP) {
		detach_tc(rig.split);
		assert_int_equal(bpf_xdp_attach(rig.split, f->program, XDP_FLAGS_DRV_MODE, NULL), 0);
	} else {
		bpf_xdp_detach(rig.split, XDP_FLAGS_DRV_MODE, NULL);
		attach_tc(rig.split, f->program);
	}
	libbpf_set_print(print);
	attached = f;
	attached_hook = fixture_hook;
}

/* --- maps --- */

bool rig_is_ipv6(__u32 service)
{
	return service == RIG_TCP6 || service == RIG_UDP6;
}

bool rig_is_udp(__u32 service)
{
	return service == RIG_UDP4 || service == RIG_UDP6;
}

static struct service_key endpoint(__u32 service, const char *address, __u16 port)
{
	return (struct service_key){
		.address = address_of(address),
		.port = htons(port),
		.protocol = rig_is_udp(service) ? IPPROTO_UDP : IPPROTO_TCP,
	};
}

static struct next_hop hop_to(__u8 mac)
{
	return (struct next_hop){
		.destination_mac = {2, [5] = mac}, .source_mac = {2, [5] = MAC_SPLITTER}, .ifindex = rig.split};
}

static void add_backend(__u32 service, __u32 id, const char *address, __u8 mac, __u32 mode)
{
	struct service_key key = endpoint(service, address, BACKEND_PORT);
	struct reply_origin origin = {.backend = id, .mode = mode};
	struct backend b = {
		.address = key.address,
		.port = key.port,
		.service = service,
		.mtu = SHADOW_LINK_MTU,
		.endpoint = id,
		.source = rig_is_ipv6(service) ? SOURCE6 : SOURCE4,
		.hop[0] = hop_to(mac),
	};

	map_set(rig.fixture->backends, &id, &b);
	map_set_end(rig.fixture, rig.fixture->reply_origins, &key, &origin);
}

static void add_service(__u32 id)
{
	bool ipv6 = rig_is_ipv6(id);
	struct service s = {
		.main = {.entries = id},
		.vip = endpoint(id, ipv6 ? VIP6 : VIP4, NAT_PORT),
		.flags = SERVICE_SHADOW,
		.mode = FORWARD_DNAT,
		.shadow_sample = SHADOW_SAMPLE_ALL,
	};
	struct shadow shadow = {
		.backend = {RIG_SHADOW(id)},
		.backend_count = 1,
		.port_min = SHADOW_PORT_MIN,
		.port_max = SHADOW_PORT_MAX,
		.stash = 64,
	};

	map_set(rig.fixture->services, &id, &s);
	map_set_end(rig.fixture, rig.fixture->vips, &s.vip, &id);
	fixture_fill_row(rig.fixture, id, RIG_PRODUCTION(id));
	add_backend(id, RIG_PRODUCTION(id), ipv6 ? PRODUCTION6 : PRODUCTION4, MAC_PRODUCTION, FORWARD_DNAT);
	add_backend(id, RIG_SHADOW(id), ipv6 ? SHADOW6 : SHADOW4, MAC_SHADOW, FORWARD_SHADOW);
	rig_shadow_set(&rig, id, &shadow);
}

static void add_route(const char *prefix, __u32 bits, __u32 kind)
{
	struct next_hop_key key = {.prefix_bits = bits, .address = address_of(prefix)};
	struct next_hop_entry entry = {.hop = hop_to(MAC_ROUTER), .kind = kind};

	map_set(rig.fixture->next_hops, &key, &entry);
}

static void set_bit(__u64 bits[4], __u8 octet)
{
	bits[octet / 64] |= 1ULL << octet % 64;
}

static void add_guard(void)
{
	const __u8 mac[16] = {2, [5] = MAC_SHADOW, [12] = 0xff, [13] = 0xff, [14] = 0xff, [15] = 0xff};
	struct shadow_guard guard = {.mirror = rig.near, .on = 1, .native = fixture_hook == HOOK_XDP};
	struct address hosts[] = {address_of(SHADOW4), address_of(SHADOW6), {}};
	int map = fixture_map(rig.fixture, "shadow_hosts");
	__u32 one = 1;

	memcpy(&hosts[2], mac, sizeof(mac));
	for (int i = 0; i < 3; i++)
		map_set(map, &hosts[i], &one);
	set_bit(guard.macs, MAC_SHADOW);
	set_bit(guard.addresses, 11);
	set_bit(guard.addresses, 0x11);
	map_set(fixture_map(rig.fixture, "shadow_guard"), &(__u32){0}, &guard);
}

static void fill(void)
{
	struct address source4 = address_of(SPLITTER4), source6 = address_of(SPLITTER6);

	for (__u32 id = 1; id <= RIG_LAST; id++)
		add_service(id);
	map_set(rig.fixture->sources, &(__u32){SOURCE4}, &source4);
	map_set(rig.fixture->sources, &(__u32){SOURCE6}, &source6);
	add_route(SPLITTER4, 128, NEXT_HOP_LOCAL);
	add_route(SPLITTER6, 128, NEXT_HOP_LOCAL);
	add_route("0.0.0.0", 96, NEXT_HOP_REACHABLE);
	add_route("2001:db8::", 32, NEXT_HOP_REACHABLE);
	map_set(rig.fixture->devices, &rig.split, &rig.split);
	add_guard();
}

struct shadow rig_shadow_get(struct rig *r, __u32 service)
{
	struct shadow s;

	assert_true(map_get(fixture_map(r->fixture, "shadows"), &service, &s));
	return s;
}

void rig_shadow_set(struct rig *r, __u32 service, const struct shadow *value)
{
	map_set(fixture_map(r->fixture, "shadows"), &service, value);
}

struct shadow_counters rig_counters(struct rig *r, __u32 service)
{
	return fixture_shadow_counters(r->fixture, service);
}

/* --- frames --- */

static bool receive(int fd, int wait_ms, struct frame *ret)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	ssize_t bytes;

	if (poll(&ready, 1, wait_ms) <= 0)
		return false;
	bytes = recv(fd, ret->data, sizeof(ret->data), 0);
	assert_true(bytes > 0);
	ret->bytes = bytes;
	return true;
}

static void transmit(int fd, const struct frame *frame)
{
	assert_int_equal(send(fd, frame->data, frame->bytes, 0), frame->bytes);
}

void rig_shadow_sends(struct rig *r, const struct frame *frame)
{
	transmit(r->at_shadow, frame);
}

void rig_mirror(struct rig *r, const struct frame *frame)
{
	transmit(r->in_mirror, frame);
}

static void address_to_mirror(struct frame *frame, enum mirror_kind kind, __u32 service)
{
	const __u8 macs[12] = {0x02, 'h', 'g', kind, service >> 8, service};

	memcpy(frame->data, macs, sizeof(macs));
}

void rig_mirror_client(struct rig *r, __u32 service, struct frame *frame)
{
	address_to_mirror(frame, MIRROR_CLIENT, service);
	rig_mirror(r, frame);
}

void rig_kick(struct rig *r, const struct mirror_kick *kick)
{
	struct frame frame = {.bytes = ETHERNET_BYTES + sizeof(*kick)};

	address_to_mirror(&frame, MIRROR_KICK, 0);
	put16(frame.data + 12, ETH_P_IP);
	memcpy(frame.data + ETHERNET_BYTES, kick, sizeof(*kick));
	rig_mirror(r, &frame);
}

void rig_shadow_gets(struct rig *r, struct frame *ret)
{
	if (!receive(r->at_shadow, LONG_WAIT_MS, ret))
		fail_msg("nothing has come to the shadow");
}

static void refuse_frame(const struct frame *got)
{
	struct frame none = {.bytes = 0};

	frame_print_difference(got, &none);
	fail_msg("something has come to the shadow");
}

void rig_shadow_gets_nothing(struct rig *r)
{
	struct frame got;

	if (receive(r->at_shadow, SHORT_WAIT_MS, &got))
		refuse_frame(&got);
}

bool rig_host_gets(struct rig *r)
{
	struct pollfd ready[3];
	struct frame got;
	bool any;

	for (int i = 0; i < 3; i++)
		ready[i] = (struct pollfd){.fd = r->at_host[i], .events = POLLIN};
	any = poll(ready, 3, SHORT_WAIT_MS) > 0;
	for (int i = 0; i < 3; i++) {
		while (receive(r->at_host[i], 0, &got))
			;
	}
	return any;
}

/* --- setting up --- */

static int begin(void **state, const struct fixture_sizes *sizes)
{
	if (!rig.near)
		make_links();
	rig.fixture = fixture_new(sizes);
	fill();
	attach();
	*state = &rig;
	return 0;
}

int rig_setup(void **state)
{
	return begin(state, &(struct fixture_sizes){});
}

int rig_setup_small(void **state)
{
	return begin(state, &(struct fixture_sizes){.shadow_flows = SMALL_FLOWS, .stash = SMALL_STASH});
}

/* Whoever has been sent something unasked for, and has not looked, fails. */
int rig_teardown(void **state)
{
	struct rig *r = *state;
	struct frame got;
	bool more = false;

	while (receive(r->at_shadow, 0, &got)) {
		if (!more)
			frame_print_difference(&got, &(struct frame){.bytes = 0});
		more = true;
	}
	if (!r->fixture->usual)
		attached = NULL;
	fixture_free(r->fixture);
	r->fixture = NULL;
	return more ? -1 : 0;
}
