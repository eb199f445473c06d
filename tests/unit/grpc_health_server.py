#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A gRPC server with grpc.health.v1.Health on a port of 127.0.0.1, which it prints; test_checker asks it.

gRPC's own library and protobuf's own messages, so that what is asked is not read by whoever wrote it. The service's
name says what to answer. Ends with its standard input.
"""
import sys
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ANSWERS = {"": 1, "up": 1, "unknown": 0, "down": 2, "strange": 9, "a" * 255: 1}


def messages():
    """HealthCheckRequest and HealthCheckResponse, as grpc/health/v1/health.proto has them (status as its number)."""
    file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for name, member, kind in (
        ("HealthCheckRequest", "service", field.TYPE_STRING),
        ("HealthCheckResponse", "status", field.TYPE_INT32),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name=member, number=1, type=kind, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [factory.GetPrototype(pool.FindMessageTypeByName(f"grpc.health.v1.{name}"))
            for name in ("HealthCheckRequest", "HealthCheckResponse")]


Request, Response = messages()


def check(request, context):
    if request.service == "slow":
        time.sleep(0.6)
    elif request.service == "long":
        return b"\x12\x7f" + 127 * b"x" + b"\x08\x01"  # a field of 127 bytes that no version knows
    elif request.service == "later":
        return b"\x12\x02xx\x08\x01\x1d1234"  # fields that a later version may have, about the one that is known
    elif request.service not in ANSWERS:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return Response(status=ANSWERS.get(request.service, 1)).SerializeToString()


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handler = grpc.unary_unary_rpc_method_handler(check, request_deserializer=Request.FromString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"PORT {port}", flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
