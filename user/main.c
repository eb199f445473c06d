// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headgated: wires signals, timers, netlink and the control socket to the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "daemon.h"
#include "drain.h"
#include "http.h"
#include "log.h"
#include "pins.h"
#include "sweep.h"
#include "variant_tables.h"

#define SWEEP_PAUSE_US 1000000U      /* between two passes over the flow tables */
#define SWEEP_DRAIN_PAUSE_US 100000U /* while connections are reset: it meets silent ones */
#define SWEEP_STEP_US 5000U          /* between two steps of one pass */
#define REFRESH_DELAY_US 20000U      /* netlink messages come in bursts */
#define REFRESH_EVERY_US 10000000U   /* what is stale is confirmed, what is missing asked for, without any message */
#define WANTED_EVERY_US 1000000U
#define PATROL_EVERY_US 50000U
#define LOOK_EVERY_US 1000000U
#define ACCURACY_US 1000U /* sd-event may else wait a quarter of a second more */

static const char usage[] = "usage: headgated [OPTION]...\n"
			    "\n"
			    "Loads (or adopts) the data path, keeps it fed, and answers `headgate`.\n"
			    "\n"
			    "  --config FILE      configuration (/etc/headgate/headgate.yaml)\n"
			    "  --socket PATH      control socket (/run/headgate/api.sock)\n"
			    "  --pins DIR         folder in a bpffs for what outlives the daemon (" PINS_DEFAULT ")\n"
			    "  --state FILE       what was decided by command (/var/lib/headgate/state.json)\n"
			    "  --journal FILE     what rollouts decided (rollouts.db beside --state)\n"
			    "  --log-level LEVEL  error, warning, info (default) or debug\n"
			    "  --version\n"
			    "  --help\n"
			    "\n"
			    "SIGHUP reads the configuration again. SIGTERM ends the daemon; the data path goes on\n"
			    "(`headgate detach` takes it away).\n";

struct program {
	struct daemon daemon;
	struct http *http;
	struct http *metrics;
	sd_event_source *refresh;
	sd_event_source *early;
	sd_event_source *early_due;
	sd_event_source *warm;
	bool refresh_soon; /* so that message after message does not put it off for ever */
};

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct program *p = context;

	(void)source;
	log_info("%s: ending; the data path goes on (`headgate detach` takes it away)", strsignal(info->ssi_signo));
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(p->daemon.event, 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct program *p = context;
	_cleanup_free_ char *changed = NULL, *kept = NULL;
	struct problems problems = {};
	struct refusal why = {};

	(void)source;
	(void)info;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_ns() / 1000);
	if (daemon_reload(&p->daemon, &problems, &changed, &kept, &why)) {
		log_lines(LOG_LEVEL_ERROR, problems.text);
		log_error("reload: %s", why.text);
	} else {
		log_info("reload: done%s", changed ? "" : ", nothing changed");
		log_lines(LOG_LEVEL_INFO, changed);
		log_lines(LOG_LEVEL_INFO, kept);
	}
	problems_clear(&problems);
	sd_notify(0, "READY=1");
	return 0;
}

static int again_in(sd_event_source *source, uint64_t us)
{
	sd_event_source_set_time_relative(source, us);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_netlink(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct program *p = context;

	(void)source;
	(void)fd;
	(void)events;
	if (netlink_drain(p->daemon.netlink) <= 0 || p->refresh_soon)
		return 0;
	p->refresh_soon = true;
	return again_in(p->refresh, REFRESH_DELAY_US);
}

static int on_refresh(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;

	(void)usec;
	if (p->daemon.ending)
		return 0;
	p->refresh_soon = false;
	daemon_refresh(&p->daemon);
	return again_in(source, REFRESH_EVERY_US);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;
	int result;

	(void)usec;
	if (p->daemon.ending)
		return 0;
	result = sweep_step(p->daemon.splitter, now_s(), now_tick());
	if (result < 0)
		log_warning("sweep of the flow tables: %s", strerror(-result));
	if (!result)
		return again_in(source, SWEEP_STEP_US);
	return again_in(source, drain_goes_on(p->daemon.splitter) ? SWEEP_DRAIN_PAUSE_US : SWEEP_PAUSE_US);
}

static int on_shadow_sweep(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;

	(void)usec;
	if (p->daemon.ending)
		return 0;
	return again_in(source, shadow_sweep_step(p->daemon.shadow_sweep, now_ns()));
}

static void probe(void *context, uint32_t ifindex, const struct address *neighbour)
{
	netlink_probe(context, ifindex, neighbour);
}

static int on_wanted(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;

	(void)usec;
	if (p->daemon.ending)
		return 0;
	splitter_probe_wanted(p->daemon.splitter, p->daemon.routes, probe, p->daemon.netlink);
	return again_in(source, WANTED_EVERY_US);
}

static int on_patrol(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;
	uint64_t now = now_ns();

	(void)usec;
	if (p->daemon.ending)
		return 0;
	drain_step(p->daemon.splitter, now);
	patrol_step(p->daemon.patrol, now);
	return again_in(source, PATROL_EVERY_US);
}

/* What real connections met, how many there were, and what is due each second. */
static int on_look(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;

	(void)usec;
	if (p->daemon.ending)
		return 0;
	patrol_observe(p->daemon.patrol, now_ns());
	rates_sample(p->daemon.rates, p->daemon.splitter, now_ns());
	daemon_rotate_stale(&p->daemon);
	daemon_expire_cohorts(&p->daemon);
	sd_event_source_set_enabled(p->warm, SD_EVENT_ONESHOT);
	return again_in(source, LOOK_EVERY_US);
}

/* Tables that a change of weights may need, one at a time while there is nothing else to do. */
static int on_warm(sd_event_source *source, void *context)
{
	struct program *p = context;

	if (p->daemon.ending || !variant_tables_warm(p->daemon.splitter))
		return 0;
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int add_warm_event(struct program *p)
{
	int r = sd_event_add_defer(p->daemon.event, &p->warm, on_warm, p);

	return r < 0 ? r : sd_event_source_set_priority(p->warm, SD_EVENT_PRIORITY_IDLE);
}

static int wait_for_early(struct program *p)
{
	uint64_t next_ns = early_next_ns(p->daemon.early);

	if (next_ns == UINT64_MAX)
		return sd_event_source_set_enabled(p->early_due, SD_EVENT_OFF);
	sd_event_source_set_time(p->early_due, next_ns / 1000 + 1);
	return sd_event_source_set_enabled(p->early_due, SD_EVENT_ONESHOT);
}

/* Fragments that came before their first one. While no more can be held they wait in the kernel, which counts what does
 * not fit there. */
static int on_early(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct program *p = context;

	(void)fd;
	(void)events;
	if (!early_take(p->daemon.early, now_ns()))
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return wait_for_early(p);
}

static int on_early_due(sd_event_source *source, uint64_t usec, void *context)
{
	struct program *p = context;

	(void)source;
	(void)usec;
	early_send(p->daemon.early, now_ns());
	sd_event_source_set_enabled(p->early, SD_EVENT_ON);
	return wait_for_early(p);
}

/* What waits for nobody else comes last: a flood of fragments must not keep anything from being done. */
static int add_early_events(struct program *p)
{
	sd_event *event = p->daemon.event;
	int r = sd_event_add_io(event, &p->early, early_fd(p->daemon.early), EPOLLIN, on_early, p);

	if (r >= 0)
		r = sd_event_add_time(event, &p->early_due, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_early_due, p);
	if (r >= 0)
		r = sd_event_source_set_priority(p->early, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_priority(p->early_due, SD_EVENT_PRIORITY_IDLE);
	return r;
}

static int add_events(struct program *p)
{
	sd_event *event = p->daemon.event;
	int r = sd_event_add_signal(event, NULL, SIGTERM, on_stop, p);

	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_stop, p);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, p);
	if (r >= 0)
		r = sd_event_add_io(event, NULL, netlink_fd(p->daemon.netlink), EPOLLIN, on_netlink, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &p->refresh, CLOCK_MONOTONIC, REFRESH_EVERY_US, ACCURACY_US,
					       on_refresh, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US, on_sweep, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US, on_shadow_sweep, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, WANTED_EVERY_US, 0, on_wanted, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US, on_patrol, p);
	if (r >= 0)
		r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US, on_look, p);
	if (r >= 0)
		r = add_warm_event(p);
	if (r >= 0)
		r = add_early_events(p);
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	return r < 0 ? r : 0;
}

/* One daemon a state file. The lock goes with the process. */
static int lock_state(const char *state)
{
	char path[PATH_MAX];
	char *slash;
	int fd;

	snprintf(path, sizeof(path), "%s", state);
	slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = '\0';
		mkdir(path, 0755);
	}
	snprintf(path, sizeof(path), "%s.lock", state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		log_error("cannot open %s: %s; say --state FILE", path, strerror(errno));
		return -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		log_error("another headgated uses %s; stop it first, or say --state FILE", state);
		return -EBUSY;
	}
	return 0;
}

/* Beside the state file, unless it is said. */
static const char *journal_path(const struct daemon_options *options)
{
	static char path[PATH_MAX];
	const char *slash = strrchr(options->state, '/');

	if (options->journal)
		return options->journal;
	snprintf(path, sizeof(path), "%.*srollouts.db", slash ? (int)(slash - options->state) + 1 : 0, options->state);
	return path;
}

static int run(struct program *p)
{
	struct refusal why = {};
	int error = lock_state(p->daemon.options.state);

	p->daemon.options.journal = journal_path(&p->daemon.options);
	if (!error)
		error = daemon_start(&p->daemon);
	if (error)
		return error;
	error = http_listen(&p->daemon, p->daemon.options.socket, &p->http, &why);
	if (!error && p->daemon.splitter->model->metrics.port)
		error = http_listen_metrics(&p->daemon, &p->daemon.splitter->model->metrics, &p->metrics, &why);
	if (error) {
		log_error("%s", why.text);
		return error;
	}
	error = add_events(p);
	if (error) {
		log_error("cannot set up the event loop: %s", strerror(-error));
		return error;
	}
	log_info("ready");
	sd_notify(0, "READY=1");
	return sd_event_loop(p->daemon.event);
}

/* Every health check in flight has a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int read_options(int argc, char **argv, struct daemon_options *options)
{
	static const struct option words[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"pins", required_argument, NULL, 'p'},
		{"state", required_argument, NULL, 't'},
		{"journal", required_argument, NULL, 'j'},
		{"log-level", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", words, NULL)) >= 0) {
		if (option == 'c')
			options->config = optarg;
		else if (option == 's')
			options->socket = optarg;
		else if (option == 'p')
			options->pins = optarg;
		else if (option == 't')
			options->state = optarg;
		else if (option == 'j')
			options->journal = optarg;
		else if (option == 'l' && log_set_level(optarg))
			return fprintf(stderr, "headgated: --log-level is error, warning, info or debug\n"), -EINVAL;
		else if (option == 'h')
			exit(fputs(usage, stdout) < 0);
		else if (option == 'v')
			exit(printf("headgated %s, ABI %d\n", HEADGATE_VERSION, HEADGATE_ABI) < 0);
		else if (option == '?')
			return -EINVAL;
	}
	if (optind < argc)
		return fprintf(stderr, "headgated: '%s' is no option; see --help\n", argv[optind]), -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	struct program p = {.daemon.options = {
				    .config = "/etc/headgate/headgate.yaml",
				    .socket = "/run/headgate/api.sock",
				    .pins = PINS_DEFAULT,
				    .state = "/var/lib/headgate/state.json",
			    }};
	sigset_t handled;
	int error;

	if (read_options(argc, argv, &p.daemon.options))
		return 2;
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	error = sd_event_default(&p.daemon.event);
	if (error >= 0)
		error = run(&p);
	http_close(p.http);
	http_close(p.metrics);
	sd_event_source_unref(p.refresh);
	sd_event_source_unref(p.early);
	sd_event_source_unref(p.early_due);
	sd_event_source_unref(p.warm);
	daemon_stop(&p.daemon);
	sd_event_unref(p.daemon.event);
	return error < 0 ? 1 : 0;
}
