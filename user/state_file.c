// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "model.h"
#include "text.h"

#define FILE_MAX (16U << 20)

/* Opens the folder that @path is in. */
static int open_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = slash ? strndup(path, slash == path ? 1 : slash - path) : strdup(".");
	int fd;

	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_whole(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(fd, text, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		text += written;
		length -= written;
	}
	return fsync(fd) ? -errno : 0;
}

static int write_new(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	return write_whole(fd, text, strlen(text));
}

int state_file_write(const char *path, const json_t *state)
{
	_cleanup_free_ char *text = json_dumps(state, JSON_INDENT(2));
	_cleanup_free_ char *new = NULL;
	_cleanup_close_ int folder = -1;
	int err;

	if (!text || asprintf(&new, "%s.new", path) < 0) {
		new = NULL;
		return -ENOMEM;
	}
	folder = open_folder(path);
	if (folder < 0)
		return folder;
	err = write_new(new, text);
	if (!err && rename(new, path))
		err = -errno;
	if (err) {
		unlink(new);
		return err;
	}
	/* The new file is in force whatever this says, so that failing here would be a lie; not every system can do it.
	 */
	(void)fsync(folder);
	return 0;
}

static bool are_weights(const json_t *weights)
{
	const char *name;
	json_t *weight;

	if (!json_is_object(weights))
		return false;
	json_object_foreach((json_t *)weights, name, weight)
	{
		json_int_t value = json_integer_value(weight);

		if (!text_is_name(name) || !json_is_integer(weight) || value < 0 || value > WEIGHT_MAX)
			return false;
	}
	return true;
}

static bool is_cohort(const json_t *cohort)
{
	const char *source = json_string_value(json_object_get(cohort, "source"));
	const char *variant = json_string_value(json_object_get(cohort, "variant"));
	bool added = json_is_true(json_object_get(cohort, "added"));
	bool removed = json_is_true(json_object_get(cohort, "removed"));
	const json_t *owner = json_object_get(cohort, "owner"), *note = json_object_get(cohort, "note");
	const json_t *expires = json_object_get(cohort, "expires");
	struct prefix prefix;

	if ((owner && json_string_length(owner) >= COHORT_OWNER_SIZE) || (owner && !json_is_string(owner)) ||
	    (note && json_string_length(note) >= COHORT_NOTE_SIZE) || (note && !json_is_string(note)) ||
	    (expires && (!json_is_integer(expires) || json_integer_value(expires) < 0)))
		return false;
	return source && !prefix_parse(source, &prefix) && variant && text_is_name(variant) && added != removed;
}

static bool is_drained(const json_t *drained)
{
	const char *variant = json_string_value(json_object_get(drained, "variant"));
	const char *backend = json_string_value(json_object_get(drained, "backend"));
	struct endpoint endpoint;

	return variant && text_is_name(variant) && backend && !endpoint_parse(backend, &endpoint);
}

static bool is_sample(const json_t *sample)
{
	return json_is_integer(sample) && json_integer_value(sample) >= 0 &&
	       json_integer_value(sample) <= SHADOW_SAMPLE_ALL;
}

static bool is_shadow(const json_t *shadow)
{
	const json_t *sample = json_object_get(shadow, "sample");
	const char *state = json_string_value(json_object_get(shadow, "state"));

	if (!json_is_object(shadow))
		return false;
	if (sample &&
	    (!is_sample(json_object_get(sample, "configured")) || !is_sample(json_object_get(sample, "running"))))
		return false;
	if (!json_object_get(shadow, "state"))
		return true;
	return state && (!strcmp(state, "off") || !strcmp(state, "paused")) &&
	       json_is_string(json_object_get(shadow, "reason"));
}

/* Nothing, or a list whose items are all as they should be. */
static bool is_list(const json_t *list, bool (*is_item)(const json_t *item))
{
	const json_t *item;
	size_t i;

	if (list && !json_is_array(list))
		return false;
	json_array_foreach(list, i, item)
	{
		if (!is_item(item))
			return false;
	}
	return true;
}

static bool is_service(const json_t *service)
{
	const json_t *weights = json_object_get(service, "weights");
	const json_t *shadow = json_object_get(service, "shadow");

	if (!json_is_object(service) || (shadow && !is_shadow(shadow)))
		return false;
	if (weights &&
	    (!are_weights(json_object_get(weights, "configured")) || !are_weights(json_object_get(weights, "running"))))
		return false;
	return is_list(json_object_get(service, "cohorts"), is_cohort) &&
	       is_list(json_object_get(service, "drained"), is_drained);
}

static int check_shape(const json_t *state, struct refusal *why)
{
	json_t *services = json_object_get(state, "services");
	json_t *service;
	const char *name;

	if (json_integer_value(json_object_get(state, "format")) != STATE_FORMAT)
		return refuse(why, EBADMSG, "is not of format %d", STATE_FORMAT);
	if (!json_is_object(services))
		return refuse(why, EBADMSG, "has no services");
	json_object_foreach(services, name, service)
	{
		if (!text_is_name(name) || !is_service(service))
			return refuse(why, EBADMSG, "has a damaged service, '%.63s'", text_is_name(name) ? name : "?");
	}
	return 0;
}

static int read_text(const char *path, struct refusal *why, char **ret, size_t *ret_length)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (!file)
		return refuse(why, errno, "cannot be read: %s", strerror(errno));
	text = malloc(FILE_MAX + 1);
	if (!text)
		return -ENOMEM;
	length = fread(text, 1, FILE_MAX + 1, file);
	if (ferror(file))
		return refuse(why, errno, "cannot be read: %s", strerror(errno));
	if (length > FILE_MAX)
		return refuse(why, EBADMSG, "is larger than %u MiB", FILE_MAX >> 20);
	*ret = TAKE_PTR(text);
	*ret_length = length;
	return 0;
}

int state_file_read(const char *path, struct refusal *why, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *state = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	json_error_t error;
	int err = read_text(path, why, &text, &length);

	if (err)
		return err;
	state = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (!state && json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	if (!state)
		return refuse(why, EBADMSG, "is not JSON (line %d)", error.line);
	err = check_shape(state, why);
	if (err)
		return err;
	*ret = TAKE_PTR(state);
	return 0;
}
