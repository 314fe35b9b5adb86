#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: rss-alert.py [--limit=MIB] [--interval=SECONDS] [GUEST...]

Prints a line of JSON for each process that has more memory in RAM than the limit (1024 MiB), in all
guests of this host, or in these. With an interval it looks again and again, and prints a process
once, until it is below the limit again.

Without an interval, status 1: there is one; 3: a guest could not be read.
"""
import argparse
import json
import sys
import time

import vlens


def large(guest, limit):
    """The processes of @guest with more than @limit bytes in RAM."""
    for p in guest.processes():
        if p.rss is not None and p.rss > limit:
            yield p


def look(names, limit, known):
    """One look at all guests. Returns who is above the limit, and whether all could be read."""
    above, all_read = set(), True
    for name in names:
        try:
            with vlens.Guest(name) as guest:
                for p in large(guest, limit):
                    # A process id can be used again. With its start it is one process.
                    key = (name, p.pid, p.start_ns)
                    above.add(key)
                    if key not in known:
                        print(json.dumps({"guest": name, "pid": p.pid, "comm": p.comm,
                                          "args": p.args, "container": p.container,
                                          "unit": p.unit, "rss": p.rss}), flush=True)
        except vlens.Error as error:
            print(f"{vlens.printable(name)}: {error}", file=sys.stderr)
            all_read = False
            # It is not known to be below the limit.
            above |= {key for key in known if key[0] == name}
    return above, all_read


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=1024, metavar="MIB")
    parser.add_argument("--interval", type=float, metavar="SECONDS")
    parser.add_argument("guest", nargs="*")
    args = parser.parse_args()
    above = set()
    while True:
        above, all_read = look(args.guest or vlens.guests(), args.limit * (1 << 20), above)
        if args.interval is None:
            return 3 if not all_read else 1 if above else 0
        time.sleep(args.interval)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
