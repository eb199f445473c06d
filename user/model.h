/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_MODEL_H
#define HEADGATE_MODEL_H

/*
 * What an operator wants: interfaces, services, variants, backends, cohorts. Pure: no kernel, no file, no clock.
 *
 * A model is made by config_load() and is valid as a whole; the functions below change it and keep it valid,
 * or refuse and leave it as it was.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "plan.h"
#include "refusal.h"
#include "util.h"

#define WEIGHT_MAX 1000000U

enum attach_mode {
	ATTACH_AUTO, /* native, and TC where a driver has no XDP */
	ATTACH_NATIVE,
	ATTACH_GENERIC,
	ATTACH_TC, /* at the ingress hook of traffic control */
};

/* What to do about a program of another that is on the interface already. */
enum existing {
	EXISTING_REFUSE,
	EXISTING_CHAIN, /* it runs behind ours, on what that passes */
};

struct interface_model {
	char name[IF_NAMESIZE];
	enum attach_mode attach;
	enum existing existing;
};

struct backend_model {
	struct endpoint endpoint;
	uint32_t weight;                  /* inside its variant, 1..WEIGHT_MAX; 1 unless configured */
	bool drained;                     /* by command: no new connections */
	uint8_t server_id[SERVER_ID_MAX]; /* QUIC: the service's server_id_bytes; the rest is zero */
};

struct variant_model {
	char name[NAME_SIZE];
	uint32_t weight; /* 0..WEIGHT_MAX, relative to the service's other variants */
	struct backend_model *backends;
	size_t backend_count;
};

#define COHORT_OWNER_SIZE 64
#define COHORT_NOTE_SIZE 192

struct cohort_model {
	struct prefix source;
	char variant[NAME_SIZE];
	bool by_command;               /* added at run time, not by the configuration */
	char owner[COHORT_OWNER_SIZE]; /* whose it is, for people; empty: not said */
	char note[COHORT_NOTE_SIZE];
	int64_t expires_s; /* CLOCK_REALTIME: from then on it is to be gone; 0: never */
};

static inline bool cohort_has_expired(const struct cohort_model *c, int64_t now_s)
{
	return c->expires_s && c->expires_s <= now_s;
}

enum affinity {
	AFFINITY_CONNECTION,
	AFFINITY_CLIENT,
};

enum udp_miss {
	UDP_MISS_ENTRY,
	UDP_MISS_BASE,
};

enum health_check {
	HEALTH_NONE,
	HEALTH_TCP,   /* a connection is accepted */
	HEALTH_HTTP,  /* GET path answers 2xx or 3xx */
	HEALTH_HTTPS, /* the same over TLS; the certificate is not verified, which has to be asked for: verify: none */
	HEALTH_GRPC,  /* grpc.health.v1.Health/Check over plain HTTP/2 answers SERVING */
};

#define HEALTH_TEXT_SIZE 256

struct health_model {
	enum health_check check;
	uint16_t port;               /* TCP port that is checked; 0: each backend's own */
	char path[HEALTH_TEXT_SIZE]; /* http, https: "/" unless configured; grpc: a service's name, "": the server */
	uint32_t interval_ms;
	uint32_t timeout_ms;
	uint32_t rise;    /* so many good checks in a row bring a backend back */
	uint32_t fall;    /* so many bad ones take it out */
	uint32_t passive; /* so many real connections in a row, refused or not answered, take it out; 0: never */
};

enum shadow_state {
	SHADOW_ON,
	SHADOW_OFF,    /* by command */
	SHADOW_PAUSED, /* by the daemon, for a reason */
};

#define SHADOW_RULES_MAX 64U
#define SHADOW_REASON_SIZE 160

/* Whose connections are mirrored, or are not, whatever the sample says. */
struct shadow_rule_model {
	struct prefix source;
	enum shadow_rule rule;
};

/* When the daemon pauses a shadow. Shares are of SHADOW_SAMPLE_ALL. */
struct shadow_pause_model {
	uint32_t of;         /* so many connections are looked at; 0: it is never paused */
	uint32_t lost;       /* so many of them were not mirrored whole */
	uint32_t unanswered; /* so many requests had no response */
};

/* Who gets copies of a service's connections. Holds no pointers. */
struct shadow_model {
	bool present;
	enum shadow_state state;
	char reason[SHADOW_REASON_SIZE]; /* while SHADOW_PAUSED */
	uint32_t sample;                 /* of SHADOW_SAMPLE_ALL connections so many are mirrored */
	enum shadow_engine engine;
	struct endpoint backends[SHADOW_BACKENDS_MAX];
	size_t backend_count; /* 1.. */
	struct shadow_rule_model rules[SHADOW_RULES_MAX];
	size_t rule_count;
	struct address sources[SOURCES_MAX]; /* none: this host's own address towards each backend */
	size_t source_count;
	uint16_t port_min, port_max;      /* inline: source ports, inclusive */
	uint8_t dscp;                     /* of copies; 0: as the client's */
	uint32_t packets_per_second;      /* cap on copies; 0: none */
	uint32_t linger_s;                /* how long it may go on answering after the client has ended */
	uint64_t memory_bytes;            /* replay: of all that waits for the service's shadow */
	uint64_t connection_memory_bytes; /* replay: of what waits for one connection */
	uint32_t connection_segments;     /* inline: that may wait for one connection */
	struct shadow_pause_model pause;
};

enum drain_policy {
	DRAIN_KEEP,  /* live connections stay until they end */
	DRAIN_RESET, /* they are reset, at a pace */
};

struct service_model {
	char name[NAME_SIZE];
	struct endpoint vip;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	enum forward_mode forward;
	enum affinity affinity;
	enum udp_miss udp_miss;
	struct variant_model *variants;
	size_t variant_count; /* 1..VARIANTS_MAX */
	struct cohort_model *cohorts;
	size_t cohort_count;
	struct address sources[SOURCES_MAX]; /* NAT; none: this host's own address towards each backend */
	size_t source_count;
	uint16_t port_min, port_max;    /* NAT source ports, inclusive */
	uint32_t drain_timeout_s;       /* how long moved slots stay tracked */
	uint32_t drain_limit_s;         /* and how long at most, if live flows still disagree; >= drain_timeout_s */
	enum drain_policy on_change;    /* what becomes of connections whose slot moved */
	enum drain_policy on_rollback;  /* the same when the change was a rollback */
	uint32_t pace_permille;         /* of the connections to be reset, so many each second */
	uint32_t measure_shift;         /* modes without flow state: 1 in 2^shift connections is measured */
	struct prefix tunnel_source[2]; /* outer sources towards IPv4 and [1] IPv6 backends; zero: this host's own */
	uint16_t tunnel_port;           /* gue: destination port of the outer UDP header */
	bool quic;                      /* UDP that is QUIC */
	uint8_t server_id_bytes;        /* of server ids in its connection ids; 0: they carry none */
	struct health_model health;
	struct shadow_model shadow;
	struct rollout_plan *rollout; /* what `rollout start` does unless told otherwise; or NULL */
	bool rollback;                /* to be brought into force by on_rollback, else by on_change; false once it is */
};

/* Whether replies come by here; where not, packets reach their backend as they are, its port included. */
static inline bool forward_sees_replies(enum forward_mode mode)
{
	return mode == FORWARD_NAT || mode == FORWARD_DNAT;
}

static inline bool forward_tunnels(enum forward_mode mode)
{
	return mode == FORWARD_IPIP || mode == FORWARD_GUE;
}

struct limits {
	uint32_t services;     /* ids for services */
	uint32_t backends;     /* ids for backends */
	uint32_t rows;         /* slot tables of 256 KiB each */
	uint32_t half_open;    /* flows before their handshake is complete */
	uint32_t established;  /* flows after it */
	uint32_t shadow_flows; /* mirrored connections */
	uint32_t stash;        /* segments of 1.5 kB that wait for shadows */
};

struct model {
	struct interface_model *interfaces;
	size_t interface_count;
	struct service_model *services;
	size_t service_count;
	struct limits limits;
	struct endpoint metrics; /* where /metrics is served: a loopback address; port 0: nowhere */
	uint32_t tcp_idle_s;     /* an established TCP flow silent for longer is forgotten */
	uint32_t udp_idle_s;
};

void model_free(struct model *m); /* contents and @m itself; accepts NULL */
DEFINE_CLEANUP(struct model, model_free)

/* A deep copy. 0 or -ENOMEM. */
int model_copy(const struct model *m, struct model **ret);

/* Whether any service has one, be it on or off. */
bool model_has_shadow(const struct model *m);

struct service_model *model_find_service(struct model *m, const char *name);
/* Index of a variant in @s, or -1. */
int service_find_variant(const struct service_model *s, const char *name);

/* "blue, green, canary" for people, cut where @size ends. Returns @text. */
const char *service_variant_names(const struct service_model *s, char *text, size_t size);

/* A weight by name, as commands give it. */
struct weight {
	char variant[NAME_SIZE];
	uint32_t weight;
};

/**
 * service_set_weights - change the weights of a service
 * @weights: the new weights, by name
 *
 * Variants that are not named get no weight; but one that has weight now must be named, so that nothing is lost by
 * leaving it out. Refused (-EINVAL, -ENOENT), with @why and @s untouched: an unknown variant, one named twice, all
 * weights zero, weight for a variant without backends or whose backends are all drained, a weight above WEIGHT_MAX.
 */
int service_set_weights(struct service_model *s, const struct weight *weights, size_t count, struct refusal *why);

/* All weight (100) to one variant, none to the others. Refused like service_set_weights(). */
int service_switch(struct service_model *s, const char *variant, struct refusal *why);

/* The cohort with exactly this prefix, or NULL. */
const struct cohort_model *service_find_cohort(const struct service_model *s, const struct prefix *source);

/**
 * service_add_cohort - pin a source prefix to a variant
 * @wanted: copied; when the service has the same prefix pinned to the same variant, that becomes as @wanted
 *
 * Refused: unknown variant (-ENOENT), one without backends or whose backends are all drained, wrong family for the
 * service's address (-EINVAL), a prefix that overlaps another cohort of the service (-EEXIST, naming it).
 */
int service_add_cohort(struct service_model *s, const struct cohort_model *wanted, struct refusal *why);

/* -ENOENT when there is no cohort with exactly this prefix. */
int service_remove_cohort(struct service_model *s, const struct prefix *source, struct refusal *why);

/**
 * service_drain_backend - give a backend no new connections, or give it its share again
 * @drained: what it is to be; a backend that is so already is no error
 *
 * In every variant of the service that has the backend. Refused, with @s untouched: a backend that no variant has
 * (-ENOENT); draining the last one that is not drained of a variant that has weight or that a cohort points to
 * (-EINVAL), since nobody would be left for its clients: @why says to move them first.
 */
int service_drain_backend(struct service_model *s, const struct endpoint *backend, bool drained, struct refusal *why);

/* The same for one variant alone. -ENOENT also for an unknown variant. */
int service_drain_backend_of(struct service_model *s, const char *variant, const struct endpoint *backend, bool drained,
			     struct refusal *why);

/**
 * service_set_shadow - turn a service's shadow on or off
 * @on: what it is to be; one that is so already is no error. On resumes a paused one, too.
 *
 * Refused, with @s untouched: a service without one (-ENOENT); on, where neither sample nor rule has anything mirrored
 * (-EINVAL).
 */
int service_set_shadow(struct service_model *s, bool on, struct refusal *why);

/* Of SHADOW_SAMPLE_ALL connections @sample are mirrored, while it is on. Refused: no shadow (-ENOENT), or more than all
 * (-EINVAL). */
int service_set_shadow_sample(struct service_model *s, uint32_t sample, struct refusal *why);

/* Nothing is mirrored any more until it is turned on again. Refused: no shadow (-ENOENT), or it is off (-EINVAL). */
int service_pause_shadow(struct service_model *s, const char *reason, struct refusal *why);

/* All backends of a variant. Refused like service_drain_backend(), and for a variant without backends (-EINVAL). */
int service_drain_variant(struct service_model *s, const char *variant, bool drained, struct refusal *why);

#endif
