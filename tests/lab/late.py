#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A host's way out that takes its time, without netem: what is routed into --tun leaves --device --delay-ms later.

Prints "ready" on stdout. Standard library only.
"""
import argparse
import asyncio
import fcntl
import os
import socket
import struct

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def frame(options, packet):
    return options.to_mac + options.from_mac + struct.pack("!H", 0x0800 if packet[0] >> 4 == 4 else 0x86DD) + packet


async def forward(options, tun, device):
    loop = asyncio.get_running_loop()

    def take():
        packet = os.read(tun, 65536)
        loop.call_later(options.delay_ms / 1000, device.send, frame(options, packet))

    loop.add_reader(tun, take)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tun", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--to-mac", type=mac, required=True)
    parser.add_argument("--from-mac", type=mac, required=True)
    options = parser.parse_args()
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", options.tun.encode(), IFF_TUN_NO_PI))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
        device.bind((options.device, 0))
        asyncio.run(forward(options, tun, device))


main()
