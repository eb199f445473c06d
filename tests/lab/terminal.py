#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A person at a terminal: runs a command on a pseudo terminal and follows what is on its screen.

    terminal.py [--size COLUMNSxROWS] COMMAND... < SCRIPT

Lines of the script:
    see REGEX       waits until a line of the screen matches
    gone REGEX      waits until none does
    top REGEX       waits until the first line does
    bottom REGEX    waits until the last line does
    key TEXT        types it
    resize CxR      changes the terminal's size, as a window does
    sh COMMAND      runs something beside it
    kill SIGNAL     sends the command a signal
    end STATUS      waits until it has ended with this status, or with -SIGNAL
    restored        the terminal is in the mode that it was in, with its own screen and a cursor
    show            prints the screen
"""
import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte

WAIT_S = 10


class Terminal:
    def __init__(self, command, columns, rows):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.output = b""
        self.master, slave = pty.openpty()
        self.slave = os.dup(slave)  # keeps the terminal after the command has ended
        self.set_size(columns, rows)
        self.mode = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
        os.close(slave)

    def set_size(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self.set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def read(self, wait_s):
        if select.select([self.master], [], [], wait_s)[0]:
            data = os.read(self.master, 65536)
            self.output += data
            self.stream.feed(data)

    def shown(self, regex):
        return any(re.search(regex, line) for line in self.screen.display)

    def wait(self, what, condition):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"waited in vain: {what}")
            self.read(0.05)

    def fail(self, what):
        sys.exit("\n".join([what] + [line.rstrip() for line in self.screen.display]))

    def end(self, status):
        self.wait("the end", lambda: self.process.poll() is not None)
        while select.select([self.master], [], [], 0)[0]:
            self.read(0)
        if self.process.returncode != status:
            self.fail(f"it ended with {self.process.returncode}, not {status}")

    def restored(self):
        for begin, end in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h")):
            if self.output.rfind(begin) < 0 or self.output.rfind(end) < self.output.rfind(begin):
                self.fail(f"{begin!r} is not followed by {end!r}")
        if termios.tcgetattr(self.slave) != self.mode:
            self.fail("the terminal is in another mode than before")


def own_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def size(text):
    return [int(number) for number in text.split("x")]


def follow(terminal, line):
    word, _, rest = line.partition(" ")
    if word == "see":
        terminal.wait(line, lambda: terminal.shown(rest))
    elif word == "gone":
        terminal.wait(line, lambda: not terminal.shown(rest))
    elif word in ("top", "bottom"):
        line_of = {"top": 0, "bottom": -1}[word]
        terminal.wait(line, lambda: re.search(rest, terminal.screen.display[line_of]))
    elif word == "key":
        os.write(terminal.master, rest.encode())
    elif word == "resize":
        terminal.resize(*size(rest))
    elif word == "sh":
        subprocess.run(["bash", "-c", rest], check=True)
    elif word == "kill":
        terminal.process.send_signal(getattr(signal, "SIG" + rest))
    elif word == "end":
        terminal.end(int(rest))
    elif word == "restored":
        terminal.restored()
    elif word == "show":
        print("\n".join(line.rstrip() for line in terminal.screen.display))
    else:
        sys.exit(f"what is {line!r}?")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=size, default=[100, 32])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    script = [line.strip() for line in sys.stdin if line.strip()]
    terminal = Terminal(arguments.command, *arguments.size)
    try:
        for line in script:
            follow(terminal, line)
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


main()
