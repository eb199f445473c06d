// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is asked: names filled into what the configuration says. */
#include "provider.h"

#include <ctype.h>
#include <string.h>

#define SERVICE "{{service}}"
#define VARIANT "{{variant}}"

/* RFC 3986's unreserved characters stay. */
static void put_encoded(const char *text, FILE *out)
{
	for (; *text; text++)
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			fputc(*text, out);
		else
			fprintf(out, "%%%02X", (unsigned char)*text);
}

static void put_as_it_is(const char *text, FILE *out)
{
	fputs(text, out);
}

static void fill_in(const char *text, const char *service, const char *variant,
		    void (*put_name)(const char *name, FILE *out), FILE *out)
{
	while (*text) {
		if (!strncmp(text, SERVICE, strlen(SERVICE))) {
			put_name(service, out);
			text += strlen(SERVICE);
		} else if (!strncmp(text, VARIANT, strlen(VARIANT))) {
			put_name(variant, out);
			text += strlen(VARIANT);
		} else {
			fputc(*text++, out);
		}
	}
}

/* To be freed; NULL: out of memory. */
static char *filled_in(const char *text, const char *service, const char *variant,
		       void (*put_name)(const char *name, FILE *out))
{
	char *result = NULL;
	size_t length;
	FILE *out = open_memstream(&result, &length);

	if (!out)
		return NULL;
	fill_in(text, service, variant, put_name, out);
	if (!fclose(out))
		return result;
	free(result);
	return NULL;
}

static char *prometheus_url(const char *server, const char *query)
{
	size_t length = strlen(server);
	char *url = NULL;
	FILE *out = open_memstream(&url, &(size_t){0});

	if (!out)
		return NULL;
	while (length && server[length - 1] == '/')
		length--;
	fprintf(out, "%.*s/api/v1/query?query=", (int)length, server);
	put_encoded(query, out);
	if (!fclose(out))
		return url;
	free(url);
	return NULL;
}

char *provider_url(const struct metric_plan *m, const char *service, const char *variant)
{
	_cleanup_free_ char *url = filled_in(m->url, service, variant, put_encoded);
	_cleanup_free_ char *query = NULL;

	if (!url || m->source != SOURCE_PROMETHEUS)
		return TAKE_PTR(url);
	query = filled_in(m->query, service, variant, put_as_it_is);
	return query ? prometheus_url(url, query) : NULL;
}

bool provider_is_by_variant(const struct metric_plan *m)
{
	return strstr(m->url, VARIANT) || (m->source == SOURCE_PROMETHEUS && strstr(m->query, VARIANT));
}
