/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_API_EXCHANGE_H
#define HEADGATE_API_EXCHANGE_H

/* One request of the control API on its way, and who handles which: the parts of api.c. */
#include "api.h"
#include "report.h"

struct exchange {
	struct daemon *daemon;
	const struct api_request *request;
	struct service_model *service; /* of the path; NULL where the path names none */
	json_t *input;                 /* the body; NULL where there is none */
	json_t *answer;
};

/* Handlers fill x->answer and return the HTTP status, or have asked for an answer later and return API_LATER. */

/* Answers with why not, and returns @status. */
unsigned int refused(struct exchange *x, unsigned int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with the status that an errno stands for. */
unsigned int refused_why(struct exchange *x, int error, const struct refusal *why);

/* Who changed what, and whether it was done: @why is NULL then. */
void audit(const struct exchange *x, const char *what, const struct refusal *why);

/* 200, or why a service is not to be changed by hand now: a rollout goes on. @what is for the audit. */
unsigned int check_rollout(struct exchange *x, const struct service_model *s, const char *what);

/* {"VARIANT": WEIGHT, ..} */
json_t *weights_to_json(const struct service_model *s);

struct report_view view_of(const struct daemon *d);

/* An array of a text's lines, which may be NULL. */
json_t *lines_to_array(const char *text);

/* api_read.c */
unsigned int get_version(struct exchange *x);
unsigned int get_status(struct exchange *x);
unsigned int get_services(struct exchange *x);
unsigned int get_service(struct exchange *x);
unsigned int get_shadow(struct exchange *x);
unsigned int get_explain(struct exchange *x);
unsigned int get_flows(struct exchange *x);

/* api_change.c */
unsigned int put_weights(struct exchange *x);
unsigned int post_switch(struct exchange *x);
unsigned int post_cohort(struct exchange *x);
unsigned int delete_cohort(struct exchange *x);
unsigned int put_backends(struct exchange *x);
unsigned int put_shadow(struct exchange *x);
unsigned int post_reload(struct exchange *x);
unsigned int post_detach(struct exchange *x);

/* api_switch.c */
unsigned int post_switch_many(struct exchange *x);

/* api_rollout.c */
unsigned int get_rollouts(struct exchange *x);
unsigned int get_rollout(struct exchange *x);
unsigned int get_rollout_history(struct exchange *x);
unsigned int post_rollout(struct exchange *x);
unsigned int post_rollout_metrics(struct exchange *x);

#endif
