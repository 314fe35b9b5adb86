#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: tests/lib/layers.py

Finds which files of bin/, src/ and kmod/ include or call each other, and prints violations of
the layers: a circle of folders, a file that uses a folder above its own in the drawing of
ARCHITECTURE.md, and a circle of files in a folder of PARTED. Status 1 if there is one.
"""
import glob
import os
import re
import sys


def layer(f):
    return re.match(r"bin|kmod|.*(?=/)", f)[0]


PARTED = ("bin/", "src/attach/", "src/base/", "src/doctor/", "src/imee/", "src/keep/", "src/redirect/",
          "src/syscall/", "src/vcpu/", "src/view/", "kmod/")


def linked(f, g):
    """Can @f use a name of @g? The library is linked without bin/, and the kernel module alone."""
    return layer(f) == layer(g) or (layer(f) != "kmod" and layer(g) not in ("bin", "kmod"))


files = sorted(f for p in ("bin", "src", "kmod") for f in glob.glob(p + "/**/*.[ch]", recursive=True))
source = {f: open(f, encoding="utf-8").read() for f in files}
# Remove comments, strings, attributes and names of types: they call nothing.
other = r'/\*.*?\*/|"(\\.|[^"\\\n])*"|__attribute__\(\(.*?\)\)+ *|(?<=struct) \w+|(?<=enum) \w+'
code = {f: re.sub(other, "", source[f], flags=re.S) for f in files}
public = r"^(?!static|extern|typedef|#)\w[^;{}=\n]*?\b(\w+)(\([^;{]*\)\n\{|(\[\w*\])* = \{)"
private = r"^static [^;{}=]*?\b(\w+)[\[(]"
defined = {}
for f in files:
    for m in re.finditer(public, code[f], re.M):
        defined.setdefault(m[1], set()).add(f)
uses = {f: {} for f in files}
for f in files:
    for inc in re.findall(r'^#include "(.*)"', source[f], re.M):
        at = [os.path.normpath(os.path.join(d, inc)) for d in (os.path.dirname(f), "src")]
        uses[f].update({g: inc for g in at if g in source})
    if f.endswith(".c"):
        words = set(re.findall(r"(?<![.>\w])[a-z]\w+", code[f])) - {"main"}
        for word in sorted(words - set(re.findall(private, code[f], re.M))):
            at = defined.get(word, ())
            if len(at) == 1 and f not in at and linked(f, min(at)):
                uses[f][min(at)] = word


def circle(to):
    """A path from a node of @to back to itself, or None."""
    done, way = set(), []

    def visit(n):
        if n in way:
            return way[way.index(n):] + [n]
        if n in done:
            return None
        way.append(n)
        found = next(filter(None, map(visit, sorted(to[n]))), None)
        done.add(way.pop())
        return found
    return next(filter(None, map(visit, sorted(to))), None)


wrong = []
for folder in PARTED:
    here = [f for f in files if f.startswith(folder)]
    found = circle({f: [g for g in uses[f] if g in here] for f in here})
    if found:
        wrong.append("a circle: " + " -> ".join(f"{f} ({uses[f][g]})" for f, g in zip(found, found[1:])))
# kmod/ is beside the layers: src/ shares its header.
folders = {layer(f) for f in files} - {"src", "kmod"}
found = circle({a: {layer(g) for f in files if layer(f) == a for g in uses[f]} & folders - {a} for a in folders})
if found:
    wrong.append("a circle: " + " -> ".join(found))
drawing = open("ARCHITECTURE.md", encoding="utf-8").read().split("```")[1]
order = {a: i for i, a in reversed(list(enumerate(re.findall(r"\b(bin|src/\w+)/", drawing))))}
wrong += [f"{a} is not in the drawing of ARCHITECTURE.md" for a in sorted(folders - set(order))]
wrong += [f"upwards: {f} uses {g} ({word})" for f in files for g, word in sorted(uses[f].items())
          if order.get(layer(g), 99) < order.get(layer(f), -1)]
for line in wrong:
    print("layers:", line)
sys.exit(bool(wrong))
