// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "util.h"

DEFINE_CLEANUP(CURL, curl_easy_cleanup)
DEFINE_CLEANUP(struct curl_slist, curl_slist_free_all)

char *client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

/* curl's word for what went wrong, in ours: which of these it is decides what a person does next. */
static int explain_failure(CURL *curl, CURLcode code, long timeout_ms, const char *socket, struct refusal *why)
{
	long error = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return refuse(
			why, ETIMEDOUT,
			"headgated on %s gave no answer within %ld s; see what it does with `journalctl -u headgate`",
			socket, timeout_ms / 1000);
	if (code != CURLE_COULDNT_CONNECT)
		return refuse(why, EPROTO, "no answer from headgated on %s: %s", socket, curl_easy_strerror(code));
	if (error == EACCES || error == EPERM)
		return refuse(
			why, EACCES,
			"no permission to use %s; run this with sudo, or as a member of the group that owns the socket",
			socket);
	if (error && error != ENOENT && error != ECONNREFUSED)
		return refuse(why, error, "cannot connect to %s: %s", socket, strerror(error));
	return refuse(why, ECONNREFUSED,
		      "no headgated answers on %s; start it with `systemctl start headgate` or "
		      "`headgated --config FILE`, or say --socket PATH",
		      socket);
}

/* Sends what is set up in @curl; the answer goes to @ret_text, to be freed. */
static int perform(CURL *curl, long timeout_ms, const char *socket, struct refusal *why, char **ret_text,
		   size_t *ret_length)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *sink = open_memstream(&text, &length);
	CURLcode code;
	int rc;

	if (!sink)
		return refuse(why, ENOMEM, "out of memory");
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
	code = curl_easy_perform(curl);
	rc = fclose(sink);
	if (code != CURLE_OK)
		return explain_failure(curl, code, timeout_ms, socket, why);
	if (rc)
		return refuse(why, ENOMEM, "out of memory");
	*ret_text = TAKE_PTR(text);
	*ret_length = length;
	return 0;
}

int client_call_within(long timeout_ms, const char *socket, const char *method, const char *path, const json_t *request,
		       struct refusal *why, long *ret_status, json_t **ret_body)
{
	_cleanup_(curl_slist_free_allp) struct curl_slist *headers = NULL;
	_cleanup_(curl_easy_cleanupp) CURL *curl = curl_easy_init();
	_cleanup_free_ char *url = NULL, *sent = NULL, *text = NULL;
	json_auto_t *body = NULL;
	size_t length = 0;
	long status;
	int rc;

	if (strlen(socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return refuse(why, ENAMETOOLONG, "the path of a socket cannot be as long as %s", socket);
	if (!curl || asprintf(&url, "http://headgate%s", path) < 0)
		return refuse(why, ENOMEM, "out of memory");
	if (request) {
		sent = json_dumps(request, JSON_COMPACT);
		headers = curl_slist_append(NULL, "Content-Type: application/json");
		if (!sent || !headers)
			return refuse(why, ENOMEM, "out of memory");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, sent);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	} else if (!strcmp(method, "POST")) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever http_proxy says */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	rc = perform(curl, timeout_ms, socket, why, &text, &length);
	if (rc < 0)
		return rc;
	body = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (!json_is_object(body))
		return refuse(why, EPROTO, "what answers on %s (HTTP status %ld) is not headgated; say --socket PATH",
			      socket, status);
	*ret_status = status;
	*ret_body = TAKE_PTR(body);
	return 0;
}

int client_call(const char *socket, const char *method, const char *path, const json_t *request, struct refusal *why,
		long *ret_status, json_t **ret_body)
{
	return client_call_within(CLIENT_TIMEOUT_S * 1000, socket, method, path, request, why, ret_status, ret_body);
}
