/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADGATE_CHECKER_GRPC_H
#define HEADGATE_CHECKER_GRPC_H

/*
 * The two messages of grpc.health.v1.Health/Check, as bytes: gRPC's frame (doc/PROTOCOL-HTTP2.md) around a protobuf of
 * one field, HealthCheckRequest { string service = 1; } and HealthCheckResponse { ServingStatus status = 1; }. Pure.
 */
#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define GRPC_HEALTH_REQUEST_SIZE (5 + 3 + HEALTH_TEXT_SIZE)

/* @service: "" asks for the whole server. Returns the length. */
size_t grpc_health_request(const char *service, uint8_t ret[GRPC_HEALTH_REQUEST_SIZE]);

/* NULL when the answer is one message whose status is SERVING, else what it is. */
const char *grpc_health_judge(const uint8_t *answer, size_t length);

#endif
