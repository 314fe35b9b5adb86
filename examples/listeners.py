#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: listeners.py [GUEST...]

Prints what listens on the network in all guests of this host, or in these: guest, protocol,
address, port, process, and its container. Nothing is paused, and nothing runs in the guests.

Status 3 if a guest could not be read.
"""
import sys

import vlens


def listeners(guest):
    """The sockets to which others can connect or send, and the container of each."""
    containers = {p.pid: p.container for p in guest.processes()}
    for s in guest.sockets():
        tcp = s.proto in ("tcp", "tcp6") and s.state == "LISTEN"
        udp = s.proto in ("udp", "udp6") and s.local_port and not s.peer_port
        if tcp or udp:
            yield s, containers.get(s.pid)


def main():
    status = 0
    rows = [("GUEST", "PROTO", "ADDRESS", "PORT", "PID", "COMM", "CONTAINER")]
    for name in sys.argv[1:] or vlens.guests():
        try:
            with vlens.Guest(name) as guest:
                rows += [(name, s.proto, s.local, s.local_port, s.pid, s.comm, container)
                         for s, container in listeners(guest)]
        except vlens.Error as error:
            print(f"{vlens.printable(name)}: {error}", file=sys.stderr)
            status = 3
    # What comes out of a guest may be anything.
    rows = [["-" if v is None else vlens.printable(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip())
    return status


if __name__ == "__main__":
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__.strip())
        sys.exit(0)
    sys.exit(main())
