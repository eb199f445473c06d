#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Kills headgated (kill -9) as soon as a transition of a service's next rollout is in the journal. Standard library only."""
import argparse
import os
import signal
import sqlite3
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--after", type=int, required=True, help="id of the rollout before")
    parser.add_argument("--transition", type=int, required=True, help="the first is 1")
    parser.add_argument("--wait-ms", type=float, default=0, help="after it was written")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=10)
    options = parser.parse_args()

    journal = sqlite3.connect(f"file:{options.journal}?mode=ro", uri=True)
    print('{"event": "open"}', flush=True)
    deadline = time.monotonic() + options.timeout
    query = ("SELECT count(*) FROM transitions JOIN rollouts ON rollouts.id = transitions.rollout "
             "WHERE rollouts.service = ? AND rollouts.id > ?")
    while journal.execute(query, (options.service, options.after)).fetchone()[0] < options.transition:
        if time.monotonic() > deadline:
            raise SystemExit(f"no transition {options.transition}")
    time.sleep(options.wait_ms / 1000)
    os.kill(options.pid, signal.SIGKILL)
    print('{"event": "end"}', flush=True)


if __name__ == "__main__":
    main()
