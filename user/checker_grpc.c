// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "checker_grpc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define FRAME_SIZE 5 /* a byte that says whether the message is compressed, and its length in 4, big-endian */
#define STATUS_FIELD 1

/* Protobuf's wire types. */
enum { WIRE_VARINT = 0, WIRE_64_BITS = 1, WIRE_BYTES = 2, WIRE_32_BITS = 5 };

struct cursor {
	const uint8_t *pos, *end;
};

size_t grpc_health_request(const char *service, uint8_t ret[GRPC_HEALTH_REQUEST_SIZE])
{
	size_t length = strnlen(service, HEALTH_TEXT_SIZE - 1);
	uint8_t *p = ret + FRAME_SIZE;

	if (length) {
		*p++ = 1 << 3 | WIRE_BYTES;
		if (length > 127)
			*p++ = 0x80 | (length & 0x7f);
		*p++ = length > 127 ? length >> 7 : length;
		p = mempcpy(p, service, length);
	}
	length = p - ret - FRAME_SIZE;
	memset(ret, 0, FRAME_SIZE);
	ret[3] = length >> 8;
	ret[4] = length;
	return FRAME_SIZE + length;
}

static int take_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64 && c->pos < c->end; shift += 7) {
		uint8_t byte = *c->pos++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

/* Passes a field's value; that of a varint is stored. */
static int take_value(struct cursor *c, uint64_t wire_type, uint64_t *ret)
{
	uint64_t length = 0;

	switch (wire_type) {
	case WIRE_VARINT:
		return take_varint(c, ret);
	case WIRE_64_BITS:
		length = 8;
		break;
	case WIRE_BYTES:
		if (take_varint(c, &length))
			return -EBADMSG;
		break;
	case WIRE_32_BITS:
		length = 4;
		break;
	default:
		return -EBADMSG;
	}
	if (length > (size_t)(c->end - c->pos))
		return -EBADMSG;
	c->pos += length;
	return 0;
}

/* Fields that are not known are passed over, and of one that is repeated the last counts, as protobuf has it. */
static int read_status(struct cursor c, uint64_t *ret)
{
	uint64_t status = 0, tag, value = 0;

	while (c.pos < c.end) {
		if (take_varint(&c, &tag) || take_value(&c, tag & 7, &value))
			return -EBADMSG;
		if (tag == (STATUS_FIELD << 3 | WIRE_VARINT))
			status = value;
	}
	*ret = status;
	return 0;
}

const char *grpc_health_judge(const uint8_t *answer, size_t length)
{
	static const char *const statuses[] = {
		"status UNKNOWN",
		NULL, /* SERVING */
		"status NOT_SERVING",
		"status SERVICE_UNKNOWN",
	};
	struct cursor message = {answer + FRAME_SIZE, answer + length};
	uint64_t status;

	if (length < FRAME_SIZE || answer[0] || answer[1] || answer[2] ||
	    (size_t)(answer[3] << 8 | answer[4]) != length - FRAME_SIZE || read_status(message, &status))
		return "its answer is no HealthCheckResponse";
	if (status >= ARRAY_SIZE(statuses))
		return "a status that is not known";
	return statuses[status];
}
