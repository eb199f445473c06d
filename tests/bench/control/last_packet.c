// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * When the last new connection reached the old variant: SYNs to many services, all the time, and who gets them.
 *
 *   last_packet CLIENT OLD NEW GATEWAY-MAC VIP PORT SERVICES SOCKET REQUEST
 *   last_packet CLIENT OLD NEW GATEWAY-MAC VIP PORT SERVICES -- COMMAND...
 *
 * CLIENT, OLD and NEW are network namespaces (files) with an interface eth0; services are VIP's ports from PORT on.
 * Once all services' SYNs arrive in OLD, the file REQUEST is written to the Unix socket SOCKET, or COMMAND is run.
 * Prints JSON: milliseconds from then (the write, or the fork) to the last SYN in OLD, to the first one in NEW, and to
 * the end (of the answer, or of the command). Fails when not all services have moved.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVICES_MAX 1024U
#define BURST 16U          /* SYNs sent at once */
#define PAUSE_NS 125000L   /* between two bursts */
#define WAIT_NS 3000000000 /* for what does not come */
#define QUIET_NS 50000000  /* watched after the end */
#define SOURCES 0x0a4d0000 /* 10.77.0.0/16 */
#define BATCH 64U

struct frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

/* When a service's SYNs were seen, CLOCK_REALTIME; 0: never. */
struct seen {
	volatile int64_t first_ns, last_ns;
};

static struct {
	uint32_t vip, port, services;
	uint8_t gateway[6], mac[6];
	int out, in[2];                    /* packet sockets: the client's; the old and the new variant's */
	struct seen seen[2][SERVICES_MAX]; /* by that */
	volatile bool over;
	volatile bool timing;
	volatile int64_t pause_ns; /* the longest between two bursts while timing */
	volatile uint64_t sent;
} bench;

static void die(const char *what)
{
	fprintf(stderr, "last_packet: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- sockets --- */

static int open_in(const char *namespace, uint16_t protocol)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
	int fd = open(namespace, O_RDONLY | O_CLOEXEC), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), s;

	if (fd < 0 || own < 0 || setns(fd, CLONE_NEWNET))
		die(namespace);
	s = socket(AF_PACKET, (protocol ? SOCK_DGRAM : SOCK_RAW) | SOCK_CLOEXEC, 0);
	at.sll_ifindex = if_nametoindex("eth0");
	if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof(at)))
		die("packet socket");
	if (setns(own, CLONE_NEWNET))
		die("setns");
	close(fd);
	close(own);
	return s;
}

/* Only what comes from our sources, stamped by the kernel as it comes in. */
static int open_receiver(const char *namespace)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct iphdr, saddr)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff0000),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOURCES, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 64),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	int fd = open_in(namespace, ETH_P_IP), on = 1, bytes = 64 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		die("socket options");
	return fd;
}

/* --- sending --- */

static uint16_t checksum(const void *data, size_t bytes, uint32_t sum)
{
	const uint16_t *word = data;

	for (size_t i = 0; i < bytes / 2; i++)
		sum += word[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The SYN number @n: each of another connection. */
static void write_syn(struct frame *f, uint64_t n)
{
	uint64_t connection = n / bench.services;
	uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof(f->tcp));

	memset(f, 0, sizeof(*f));
	memcpy(f->ethernet.h_dest, bench.gateway, 6);
	memcpy(f->ethernet.h_source, bench.mac, 6);
	f->ethernet.h_proto = htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.tot_len = htons(sizeof(f->ip) + sizeof(f->tcp));
	f->ip.ttl = 64;
	f->ip.protocol = IPPROTO_TCP;
	f->ip.saddr = htonl(SOURCES | (connection >> 14 & 0xffff));
	f->ip.daddr = bench.vip;
	f->ip.check = checksum(&f->ip, sizeof(f->ip), 0);
	f->tcp.source = htons(1024 + (connection & 0x3fff));
	f->tcp.dest = htons(bench.port + n % bench.services);
	f->tcp.seq = htonl(n);
	f->tcp.doff = 5;
	f->tcp.syn = 1;
	f->tcp.window = htons(65535);
	sum += (f->ip.saddr & 0xffff) + (f->ip.saddr >> 16) + (f->ip.daddr & 0xffff) + (f->ip.daddr >> 16);
	f->tcp.check = checksum(&f->tcp, sizeof(f->tcp), sum);
}

/* In real time, as whoever else works on this host must not keep it waiting: it takes a part of one CPU only. */
static void hurry(void)
{
	const struct sched_param priority = {.sched_priority = 1};

	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		die("real-time priority");
	prctl(PR_SET_TIMERSLACK, 1000);
}

/* Those that send and receive on the last CPU; who asks, and so whom it wakes, on the first. */
static void stay_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("affinity");
}

static int last_cpu(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) - 1;
}

static void *send_all(void *context)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct mmsghdr messages[BURST] = {};
	struct frame frames[BURST];
	struct iovec parts[BURST];
	int64_t last_ns = now_ns();

	(void)context;
	stay_on(last_cpu());
	hurry();
	for (uint32_t i = 0; i < BURST; i++) {
		parts[i] = (struct iovec){&frames[i], sizeof(frames[i])};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (!bench.over) {
		for (uint32_t i = 0; i < BURST; i++)
			write_syn(&frames[i], bench.sent + i);
		if (sendmmsg(bench.out, messages, BURST, 0) < 0 && errno != ENOBUFS)
			die("send");
		bench.sent += BURST;
		if (bench.timing && now_ns() - last_ns > bench.pause_ns)
			bench.pause_ns = now_ns() - last_ns;
		last_ns = now_ns();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* --- receiving --- */

static int64_t stamp_of(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return t.tv_sec * 1000000000LL + t.tv_nsec;
	}
	return 0;
}

/* The backends' ports are the services'. */
static void note(struct seen *seen, const uint8_t *packet, int64_t at_ns)
{
	const struct tcphdr *tcp = (const void *)(packet + sizeof(struct iphdr));
	uint32_t service = ntohs(tcp->dest) - bench.port;

	if (service >= bench.services)
		return;
	if (!seen[service].first_ns)
		seen[service].first_ns = at_ns;
	seen[service].last_ns = at_ns;
}

static void receive(size_t side)
{
	static uint8_t packets[BATCH][64], controls[BATCH][64];
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	int count;

	for (uint32_t i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){packets[i], sizeof(packets[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
						      .msg_iovlen = 1,
						      .msg_control = controls[i],
						      .msg_controllen = sizeof(controls[i])};
	}
	count = recvmmsg(bench.in[side], messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		note(bench.seen[side], packets[i], stamp_of(&messages[i].msg_hdr));
}

static void *receive_all(void *context)
{
	struct pollfd fds[] = {{.fd = bench.in[0], .events = POLLIN}, {.fd = bench.in[1], .events = POLLIN}};

	(void)context;
	stay_on(last_cpu());
	while (!bench.over) {
		if (poll(fds, 2, 10) < 0)
			die("poll");
		for (size_t side = 0; side < 2; side++)
			if (fds[side].revents)
				receive(side);
	}
	return NULL;
}

/* --- what is timed --- */

static bool all_seen(size_t side, int64_t since_ns)
{
	for (uint32_t i = 0; i < bench.services; i++)
		if (bench.seen[side][i].last_ns <= since_ns)
			return false;
	return true;
}

static void wait_for_all(size_t side, int64_t since_ns, const char *what)
{
	int64_t until_ns = now_ns() + WAIT_NS;

	while (!all_seen(side, since_ns)) {
		if (now_ns() > until_ns) {
			errno = ETIMEDOUT;
			die(what);
		}
		usleep(1000);
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die(path);
	return fd;
}

/* Return: when the request was written. */
static int64_t request(const char *socket_path, const char *path)
{
	static char text[1 << 20], answer[1 << 16];
	int file = open(path, O_RDONLY | O_CLOEXEC), fd = connect_to(socket_path);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text)), got;
	bool first = true;
	int64_t began_ns;

	if (length <= 0)
		die(path);
	usleep(20000); /* the daemon has accepted, and waits */
	began_ns = now_ns();
	if (write(fd, text, length) != length)
		die("request");
	/* It says "Connection: close". */
	while ((got = read(fd, answer, sizeof(answer))) > 0) {
		if (first && !memmem(answer, got, " 200 ", 5)) {
			fprintf(stderr, "last_packet: refused: %.*s\n", (int)got, answer);
			exit(1);
		}
		first = false;
	}
	close(file);
	close(fd);
	return began_ns;
}

static int64_t run(char **command)
{
	cpu_set_t any_cpu;
	int64_t began_ns = now_ns();
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			die("/dev/null");
		memset(&any_cpu, 0xff, sizeof(any_cpu));
		sched_setaffinity(0, sizeof(any_cpu), &any_cpu);
		execvp(command[0], command);
		die(command[0]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "last_packet: %s failed\n", command[0]);
		exit(1);
	}
	return began_ns;
}

static void print(int64_t began_ns, int64_t ended_ns)
{
	int64_t last_ns = 0, first_ns = INT64_MAX;

	for (uint32_t i = 0; i < bench.services; i++) {
		if (bench.seen[0][i].last_ns > last_ns)
			last_ns = bench.seen[0][i].last_ns;
		if (bench.seen[1][i].first_ns < first_ns)
			first_ns = bench.seen[1][i].first_ns;
	}
	printf("{\"last_old_ms\": %.3f, \"first_new_ms\": %.3f, \"end_ms\": %.3f, \"pause_ms\": %.3f}\n",
	       (last_ns - began_ns) / 1e6, (first_ns - began_ns) / 1e6, (ended_ns - began_ns) / 1e6,
	       bench.pause_ns / 1e6);
}

int main(int argc, char **argv)
{
	int64_t began_ns, ended_ns;
	pthread_t sender, receiver;

	if (argc < 10)
		return fprintf(stderr, "usage: see last_packet.c\n"), 2;
	if (sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &bench.gateway[0], &bench.gateway[1], &bench.gateway[2],
		   &bench.gateway[3], &bench.gateway[4], &bench.gateway[5]) != 6)
		return 2;
	bench.mac[0] = 2;
	bench.vip = inet_addr(argv[5]);
	bench.port = atoi(argv[6]);
	bench.services = atoi(argv[7]);
	if (bench.services < 1 || bench.services > SERVICES_MAX)
		return 2;
	bench.out = open_in(argv[1], 0);
	for (size_t side = 0; side < 2; side++)
		bench.in[side] = open_receiver(argv[2 + side]);
	if (pthread_create(&receiver, NULL, receive_all, NULL) || pthread_create(&sender, NULL, send_all, NULL))
		die("threads");
	wait_for_all(0, 0, "SYNs in the old namespace");
	stay_on(0);
	bench.timing = true;
	began_ns = strcmp(argv[8], "--") ? request(argv[8], argv[9]) : run(argv + 9);
	ended_ns = now_ns();
	wait_for_all(1, ended_ns, "SYNs in the new namespace");
	bench.timing = false;
	usleep(QUIET_NS / 1000);
	bench.over = true;
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	print(began_ns, ended_ns);
	return 0;
}
