/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_DAEMON_H
#define HEADGATE_DAEMON_H

/* The running daemon: what main.c wires to events and api.c to requests. */
#include <net/if.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "conductor.h"
#include "datapath.h"
#include "early.h"
#include "mirror.h"
#include "netlink.h"
#include "patrol.h"
#include "rates.h"
#include "replay.h"
#include "shadow_sweep.h"
#include "splitter.h"

struct daemon_options {
	const char *config;
	const char *socket;
	const char *pins;
	const char *state;
	const char *journal; /* of rollouts */
};

/* An interface of the model, and what runs there. */
struct attached_interface {
	char name[IF_NAMESIZE];
	uint32_t ifindex; /* 0: it is missing, or refuses */
	enum attach_mode asked;
	struct attachment is;
	uint32_t probed_ifindex; /* whose driver @no_native is about; 0: not asked yet */
	char no_native[200];     /* why its driver has no native XDP; empty: it has */
	char reason[320];        /* why it runs as it does */
};

struct daemon {
	struct daemon_options options;
	sd_event *event;
	struct datapath *datapath;
	struct splitter *splitter;
	struct early *early;
	struct replay *replay;
	struct netlink *netlink;
	struct patrol *patrol;
	struct rates *rates;
	struct shadow_sweep *shadow_sweep;
	sd_event_source *rotate; /* computes tables anew, once for all that has changed */
	struct routes *routes;
	struct model *configured; /* what the file says; what is in force is splitter->model */
	struct attached_interface attached[ARRAY_SIZE(((struct splitter *)0)->ifindex)];
	size_t attached_count;
	struct mirror mirror;
	char mirror_trouble[sizeof(((struct refusal *)0)->text)]; /* why it is not whole; empty: it is, or not needed */
	struct conductor *conductor;
	bool unsaved; /* what is in force could not be written to the state file */
	bool overdue; /* cohorts that have expired could not be removed, which has been said */
	uint64_t started_ns;
	bool ending; /* detached: the daemon ends when the answer has been sent */
};

/* CLOCK_MONOTONIC, as the programs' clock. */
uint64_t now_ns(void);
uint32_t now_s(void);
uint32_t now_tick(void);

/* CLOCK_REALTIME, which is set and may go back: for what people write as a date, and nothing else. */
int64_t wall_clock_s(void);

/**
 * daemon_start - read the configuration, adopt or load the data path, put the model in force, attach
 * Logs what it does. Return: 0 or -errno, logged; the data path is as it was.
 */
int daemon_start(struct daemon *d);
void daemon_stop(struct daemon *d); /* the data path goes on */

/**
 * daemon_change - put a changed model in force, remembered first
 * @model: taken over on success, freed on failure
 */
int daemon_change(struct daemon *d, struct model *model, size_t *ret_moved, struct refusal *why);

/**
 * daemon_change_decided - the same for a decision that is in the journal already
 * What is in force does not wait for the disk: it is remembered afterwards, and until that has been done d->unsaved.
 */
int daemon_change_decided(struct daemon *d, struct model *model, struct refusal *why);

/* Tries again to remember what is in force. 0 or -errno. */
int daemon_remember(struct daemon *d);

/**
 * daemon_pause_shadow - mirror nothing of a service until an operator says so
 * @reason: for people, as "7% of 200 connections were not mirrored whole"; remembered, and shown by status
 *
 * Return: 0 or -errno, logged: -ENOENT without a shadow, -EINVAL when it is off.
 */
int daemon_pause_shadow(struct daemon *d, const char *service, const char *reason);

/* Removes the cohorts that have expired, as if by command; remembered, so that they stay out when the clock is set
 * back.
 */
void daemon_expire_cohorts(struct daemon *d);

/* A backend's health has changed: computes the tables anew. */
void daemon_rotate(struct daemon *d);

/* Has that done again where it was not possible. */
void daemon_rotate_stale(struct daemon *d);

/**
 * daemon_reload - read the configuration file again
 * @problems: filled when the file is wrong (-EINVAL); nothing has changed then
 * @ret_changed, @ret_kept: lines of text, or NULL; to be freed
 */
int daemon_reload(struct daemon *d, struct problems *problems, char **ret_changed, char **ret_kept,
		  struct refusal *why);

/* Takes the data path away and lets the daemon end. 0 or -errno. */
int daemon_detach(struct daemon *d);

/* Routes, neighbours and links have (or may have) changed. */
void daemon_refresh(struct daemon *d);

#endif
