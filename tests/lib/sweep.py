#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: sweep.py DUMP SEED

Status 0: the pages of sweep.c in the dump are of one point in time.
"""
import mmap
import struct
import sys

PAGES = 3000
SEED = int(sys.argv[2]) * 0x100000001
magic = struct.pack("<QQ", SEED + 9, ~(SEED + 7) & (1 << 64) - 1)
with open(sys.argv[1], "rb") as f:
    memory = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
numbers = {}
at = memory.find(magic)
while at >= 0:
    index, number = struct.unpack_from("<QQ", memory, at + 16)
    numbers[index] = number
    at = memory.find(magic, at + 16)
if sorted(numbers) != list(range(PAGES)):
    sys.exit(f"{len(numbers)} pages")
found = [numbers[i] for i in range(PAGES)]
if found != sorted(found, reverse=True) or found[0] - found[-1] > 1:
    sys.exit(f"several points in time: {sorted(set(found))}")
