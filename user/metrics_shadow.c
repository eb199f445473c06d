// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>

#include "metrics_page.h"
#include "names.h"
#include "shadow_figures.h"

#define LABEL_SIZE 64

static const struct metrics_shadow *shadow_of(const struct subject *subject)
{
	return subject->service->shadow;
}

/* --- what is set --- */

static void render_settings(struct exposition *e, const struct subjects *subjects)
{
	static const struct family info = {
		"headgate_shadow_info", FAMILY_GAUGE,
		"Always 1. Whether a service's shadow is on, off or paused, and its engine."};
	static const struct family sample = {"headgate_shadow_sample_ratio", FAMILY_GAUGE,
					     "Share of a service's connections that are mirrored while it is on."};
	char label[LABEL_SIZE];

	exposition_family(e, &info);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_shadow *shadow = shadow_of(&subjects->services[i]);

		if (!shadow)
			continue;
		snprintf(label, sizeof(label), "state=\"%s\",engine=\"%s\"", name_of_shadow_state(shadow->state),
			 name_of_engine(shadow->engine));
		exposition_integer(e, "", subjects->services[i].labels, label, 1);
	}
	exposition_family(e, &sample);
	for (size_t i = 0; i < subjects->service_count; i++)
		if (shadow_of(&subjects->services[i]))
			exposition_real(e, "", subjects->services[i].labels, NULL,
					shadow_of(&subjects->services[i])->sample);
}

/* --- what is counted --- */

#define SHADOW(field) offsetof(struct metrics_shadow, field)
#define COUNTER(name, help)                                                                                            \
	{                                                                                                              \
		"headgate_shadow_" name "_total", FAMILY_COUNTER, help                                                 \
	}

static const struct {
	struct family family;
	size_t offset;
} counted[] = {
	{COUNTER("connections", "Connections (UDP: flows) that were to be mirrored."), SHADOW(counters.eligible)},
	{{"headgate_shadow_connections_active", FAMILY_GAUGE,
	  "Connections that are being mirrored, by the last sweep."},
	 SHADOW(mirroring)},
	{COUNTER("connections_accepted", "Connections that the shadow accepted."), SHADOW(counters.connected)},
	{COUNTER("packets", "Packets sent to the shadow."), SHADOW(counters.packets)},
	{COUNTER("bytes", "Bytes of IP packets sent to the shadow, headers included."), SHADOW(counters.bytes)},
	{COUNTER("repaired", "Segments sent to the shadow again."), SHADOW(counters.repaired)},
	{COUNTER("copies_lost", "Packets of mirrored connections that could not be copied."),
	 SHADOW(counters.clones_lost)},
	{COUNTER("stray_packets", "Packets from shadows that were no mirrored connection's."), SHADOW(counters.stray)},
	{COUNTER("requests", "Requests of mirrored connections."), SHADOW(counters.requests)},
	{COUNTER("response_bytes", "Bytes of payload that the shadow answered."), SHADOW(counters.response_bytes)},
	{COUNTER("unanswered", "Requests that production answered and the shadow did not."),
	 SHADOW(counters.unanswered)},
};

static void render_counted(struct exposition *e, const struct subjects *subjects)
{
	for (size_t f = 0; f < ARRAY_SIZE(counted); f++) {
		exposition_family(e, &counted[f].family);
		for (size_t i = 0; i < subjects->service_count; i++) {
			const struct metrics_shadow *shadow = shadow_of(&subjects->services[i]);
			uint64_t value;

			if (!shadow)
				continue;
			memcpy(&value, (const char *)shadow + counted[f].offset, sizeof(value));
			exposition_integer(e, "", subjects->services[i].labels, NULL, value);
		}
	}
}

static void render_ends(struct exposition *e, const struct subjects *subjects)
{
	static const struct family ended = COUNTER(
		"connections_ended", "Connections whose mirroring has ended, by how; whole: all of it was mirrored.");
	static const struct family coverage = {
		"headgate_shadow_coverage_ratio", FAMILY_GAUGE,
		"Share of the connections whose mirroring has ended that were mirrored whole; absent before any has."};
	char label[LABEL_SIZE];
	double share;

	exposition_family(e, &ended);
	for (size_t i = 0; i < subjects->service_count; i++)
		for (enum shadow_end end = 0; shadow_of(&subjects->services[i]) && end < SHADOW_ENDS; end++) {
			snprintf(label, sizeof(label), "reason=\"%s\"", name_of_shadow_end(end));
			exposition_integer(e, "", subjects->services[i].labels, label,
					   shadow_of(&subjects->services[i])->counters.ended[end]);
		}
	exposition_family(e, &coverage);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_shadow *shadow = shadow_of(&subjects->services[i]);

		if (shadow && !shadow_figures_coverage(&shadow->counters, shadow->mirroring, &share))
			exposition_real(e, "", subjects->services[i].labels, NULL, share);
	}
}

/* As headgate_variant_responses_total has it. */
static const char *const classes[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void render_responses(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = COUNTER(
		"responses", "The shadow's responses, by HTTP/1 status class; none: has no HTTP/1 status line.");
	char label[LABEL_SIZE];

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++)
		for (size_t class = 0; shadow_of(&subjects->services[i]) && class < STATUS_CLASSES; class ++) {
			snprintf(label, sizeof(label), "class=\"%s\"", classes[class]);
			exposition_integer(e, "", subjects->services[i].labels, label,
					   shadow_of(&subjects->services[i])->counters.status[class]);
		}
}

/* --- what is compared --- */

static void render_matrix(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family =
		COUNTER("compared", "Requests whose responses of both sides were seen whole, by their status classes.");
	char label[LABEL_SIZE];

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++)
		for (size_t cell = 0; shadow_of(&subjects->services[i]) && cell < STATUS_CLASSES * STATUS_CLASSES;
		     cell++) {
			size_t production = cell / STATUS_CLASSES, shadow = cell % STATUS_CLASSES;

			snprintf(label, sizeof(label), "production=\"%s\",shadow=\"%s\"", classes[production],
				 classes[shadow]);
			exposition_integer(e, "", subjects->services[i].labels, label,
					   shadow_of(&subjects->services[i])->counters.matrix[production][shadow]);
		}
}

static void render_lengths(struct exposition *e, const struct subjects *subjects)
{
	static const struct family family = COUNTER(
		"compared_lengths", "The same requests, by how long the shadow's response was beside production's.");

	exposition_family(e, &family);
	for (size_t i = 0; i < subjects->service_count; i++) {
		const struct metrics_shadow *shadow = shadow_of(&subjects->services[i]);
		uint64_t shorter = 0, longer = 0;

		if (!shadow)
			continue;
		for (uint32_t bucket = 1; bucket < LENGTH_DIFFERENCES; bucket++) {
			if (bucket < LENGTH_DIFFERENCES / 2)
				longer += shadow->counters.difference[bucket];
			else
				shorter += shadow->counters.difference[bucket];
		}
		exposition_integer(e, "", subjects->services[i].labels, "shadow=\"equal\"",
				   shadow->counters.difference[0]);
		exposition_integer(e, "", subjects->services[i].labels, "shadow=\"longer\"", longer);
		exposition_integer(e, "", subjects->services[i].labels, "shadow=\"shorter\"", shorter);
	}
}

static void render_times(struct exposition *e, const struct subjects *subjects)
{
	static const struct {
		struct family family;
		size_t offset;
	} times[] = {
		{{"headgate_shadow_connect_seconds", FAMILY_HISTOGRAM, "Time from the SYN to the shadow's SYN-ACK."},
		 SHADOW(counters.connect)},
		{{"headgate_shadow_first_byte_seconds", FAMILY_HISTOGRAM,
		  "Time from a request's first segment to the shadow's response."},
		 SHADOW(counters.first_byte)},
		{{"headgate_shadow_production_first_byte_seconds", FAMILY_HISTOGRAM,
		  "Time from a mirrored connection's request to production's response."},
		 SHADOW(counters.production_first_byte)},
	};

	for (size_t f = 0; f < ARRAY_SIZE(times); f++) {
		exposition_family(e, &times[f].family);
		for (size_t i = 0; i < subjects->service_count; i++) {
			const char *shadow = (const char *)shadow_of(&subjects->services[i]);

			if (shadow)
				metrics_render_histogram(e, (const void *)(shadow + times[f].offset),
							 subjects->services[i].labels);
		}
	}
}

void metrics_render_shadows(struct exposition *e, const struct subjects *subjects)
{
	render_settings(e, subjects);
	render_counted(e, subjects);
	render_ends(e, subjects);
	render_responses(e, subjects);
	render_matrix(e, subjects);
	render_lengths(e, subjects);
	render_times(e, subjects);
}
