#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: tests/lib/same.py COMMAND GUEST-TEXT VLENS-TEXT [LATER-GUEST-TEXT]

Compares the output of COMMAND in a guest with the output of its applet on that
guest, and, if given, with a later output in the guest (three files).  The table
RULES has the differences that are allowed: lines of the observer (the command
itself, the shell that started it), kernel workers, which come and go, and values
that move.  A value that moves must lie between the values that the guest itself
printed before and after, with the tolerance of its rule.

Prints "ok" (the text is the same) or "sem" (values that move differ, and lie
where they must), status 0; else the differences (< guest, > vlens), status 1.
"""
import re
import sys

# ---- values -----------------------------------------------------------------

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
# A time with colons: 1-02:03:04, 0:00.68, 10:15:03, 10:15.
CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?(\.\d+)?")
UNITS = {"": 1, "%": 1, "B": 1 / 1024, "Ki": 1, "Mi": 1 << 10, "Gi": 1 << 20,
         "m": 1 << 10, "g": 1 << 20, "t": 1 << 30}


def value(token):
    """The value of a token as a number, or None: seconds, KiB of memory with a unit."""
    clock = CLOCK.fullmatch(token)
    if clock:
        days, first, second, third, part = clock.groups()
        if third is not None:
            total = int(first) * 3600 + int(second) * 60 + int(third)
        elif part is not None:
            total = int(first) * 60 + int(second) + float(part)
        else:
            total = int(first) * 60 + int(second)
        return float(total + int(days or 0) * 86400)
    number = NUMBER.match(token)
    unit = token[number.end():] if number else None
    return float(number.group()) * UNITS[unit] if unit in UNITS else None


def between(token, before, after, way):
    """Whether a value lies where way allows: None (it must not differ), a number (the
    distance from the range between the two), "P%+N" (N and P percent of the larger
    one), or "any".  Without a later text, a value that only grows has no limit."""
    x, a, b = value(token), value(before), value(before if after is None else after)
    if way is None or x is None or a is None or b is None:
        return False
    if way == "any" or (way == 0 and after is None):
        return True
    if isinstance(way, str):
        part, most = way.split("%+")
        way = max(abs(a), abs(b)) * float(part) / 100 + float(most)
    # The last digit that is printed is rounded.
    way += 1.01 * 10.0 ** -len(token.split(".")[1]) if re.fullmatch(r"\d+\.\d+", token) else 0
    return min(a, b) - way <= x <= max(a, b) + way


# ---- lines ------------------------------------------------------------------

TOKEN = re.compile(r"\S+")
AGENT = "factory agent "
WORKER = re.compile(r"(\[?kworker/[^-+\]]*).*")


def cells(line, columns):
    """[(start, end, text)] of a line; with columns the last takes the rest."""
    found = [(m.start(), m.end(), m.group()) for m in TOKEN.finditer(line)]
    if columns and len(found) > len(columns):
        start = found[len(columns) - 1][0]
        found[len(columns) - 1:] = [(start, len(line), line[start:])]
    return found


def placed(a, b):
    """Whether the cells of two lines stand in the same columns. A longer cell may
    push the cells behind it."""
    pushed = False
    for (start_a, end_a, text_a), (start_b, end_b, text_b) in zip(a, b):
        if not pushed and start_a != start_b and end_a != end_b:
            return False
        pushed = pushed or len(text_a) != len(text_b)
    return True


# The name of a process of the factory, and its sanitized form: a character for each one that
# drives a terminal, see HOSTILE NAMES in vlens(1).
HOSTILE = "\x1b[2J\nevil\t\x7f"
TAMED = re.sub(r"[\x00-\x1f\x7f]", "?", HOSTILE)


def guest_text(text, rule):
    """The guest's text, as it must look from outside."""
    return text.replace(HOSTILE, TAMED) if rule.get("tamed") else text


class Table:
    """One text, parsed by a rule."""

    def __init__(self, text, rule, command):
        self.wrong = []
        self.rows = {}
        self.workers = set()
        if text and not text.endswith("\n"):
            self.wrong.append("no line feed at the end")
        self.lines = text.split("\n")[:-1]
        columns, plain = None, 0
        for number, line in enumerate(self.lines):
            if rule.get("drop") and re.search(rule["drop"], line):
                continue
            head = rule.get("head") and re.match(rule["head"], line)
            if head:
                columns = rule.get("label", []) + line.split()
            elif not line.strip():
                columns = None
            found = cells(line, columns if rule.get("free") else None)
            names = dict(zip(columns, (c[2] for c in found))) if columns and not head else {}
            if names and own(names, command, rule):
                continue
            if names and rule.get("key"):
                key = (columns[-1],) + tuple(names.get(k, "") for k in rule["key"])
                if WORKER.fullmatch(names.get(columns[-1], "")):
                    self.workers.add(key)
            else:
                key = ("", plain)
                plain += 1
            if rule.get("squeeze"):
                line = " ".join(line.split())
            if key in self.rows:
                self.wrong.append(f"twice: {line}")
            self.rows[key] = (line, found, columns if names else None, number)

    def text(self):
        return [row[0] for row in self.rows.values()]


def own(names, command, rule):
    """Whether a row of a process list is the observer's: by its command, and by its
    terminal if the list has that."""
    if names.get("TTY", "") == "?" or not rule.get("own"):
        return False
    last = list(names.values())[-1]
    looker = re.sub(r"^(\w+=\S* )+", "", command)
    return last in (looker, "sh -c " + command, looker.split()[0], "sh", f"[{looker.split()[0]}]", "[sh]")


def ways(rule, columns, index, line):
    """How far the value of this cell may move."""
    if columns:
        name = columns[min(index, len(columns) - 1)]
        return rule.get("moves", {}).get(name, rule.get("other"))
    for pattern, way in rule.get("lines", ()):
        if re.search(pattern, line):
            return way
    return rule.get("other")


def same_row(rule, a, x, b, once):
    """Whether the guest could have printed row x of vlens between its rows a and b.
    once: there is no later text, and b is a."""
    line, found, columns, _ = x
    if line in (a[0], b[0]):
        return True
    if not columns and ways(rule, None, 0, line) == "any":
        return re.sub(r"\s*[\d.]+", " N", line) == re.sub(r"\s*[\d.]+", " N", a[0])
    if not len(a[1]) == len(found) == len(b[1]):
        return False
    if not placed(a[1], found) and not placed(b[1], found):
        return False
    thread = columns and (found[-1][2].startswith("[") or a[1][-1][2].startswith("["))
    for i, (_, _, token) in enumerate(found):
        before, after = a[1][i][2], b[1][i][2]
        if token in (before, after):
            continue
        if columns and columns[min(i, len(columns) - 1)] in rule.get("state", ()):
            # Kernel threads run and sleep at any time, and so does the agent that runs
            # the guest's side of the comparison. Other letters must not change.
            restless = thread or found[-1][2].startswith(AGENT) and token[0] != "I"
            if restless and token[1:] == before[1:] and token[0] in "RSDI":
                continue
            return False
        worker, same = WORKER.fullmatch(token), WORKER.fullmatch(before)
        if worker and same and worker[1] == same[1]:
            continue
        token, before, after = (t.rstrip(",") for t in (token, before, after))
        # The characters around the numbers of a token are text.
        if value(token) is None:
            if NUMBER.sub("0", token) != NUMBER.sub("0", before) or \
                    NUMBER.sub("0", token) != NUMBER.sub("0", after):
                return False
            parts = [NUMBER.findall(t) for t in (token, before, after)]
        else:
            parts = [[token], [before], [after]]
        way = ways(rule, columns, i, line)
        if not all(between(t, p, None if once else q, way) for t, p, q in zip(*parts)):
            return False
    return True


def compare(command, before, vlens, after=None):
    """("ok" | "sem" | "FAIL", lines that differ)."""
    rule = rule_of(command)
    a, x = Table(guest_text(before, rule), rule, command), Table(vlens, rule, command)
    b = Table(guest_text(after, rule), rule, command) if after is not None else a
    wrong = [f"> {text}" for text in x.wrong]
    if not wrong and (x.text() == a.text() or x.text() == b.text()):
        return "ok", []
    for key in list(dict.fromkeys([*a.rows, *x.rows])):
        if key not in x.rows:
            if key in b.rows and key not in a.workers:
                wrong.append(f"< {a.rows[key][0]}")
        elif key not in a.rows and key not in b.rows:
            if key not in x.workers:
                wrong.append(f"> {x.rows[key][0]}")
        else:
            first, last = a.rows.get(key, b.rows.get(key)), b.rows.get(key, a.rows.get(key))
            if not same_row(rule, first, x.rows[key], last, after is None):
                wrong += [f"< {first[0]}", f"> {x.rows[key][0]}"]
                wrong += [f"< {last[0]} (later)"] if last[0] != first[0] else []
    check = rule.get("check")
    if check:
        wrong += check(x)
    if not x.rows and a.rows:
        wrong.append("> nothing")
    # The same rows in another order, if the order matters.
    if not wrong and not rule.get("unordered") and order(x, a) and order(x, b):
        wrong.append("> the lines stand in another order")
    # If nothing may move, lines of both moments must not be mixed.
    if not wrong and not rule.keys() & {"moves", "lines", "other"}:
        wrong.append("> neither the text of before nor of after")
    return ("FAIL", wrong) if wrong else ("sem", [])


def order(x, other):
    common = x.rows.keys() & other.rows.keys()
    return [k for k in x.rows if k in common] != [k for k in other.rows if k in common]


# ---- does the comparison see a planted difference? --------------------------

def plants(command, before, vlens, after, chance):
    """Yields (what, text) of texts that this guest cannot have printed between its own
    two: a line less, a line more, another word, another number.  chance is a
    random.Random."""
    rule = rule_of(command)
    table = Table(vlens, rule, command)
    # A row that only one of the guest's own texts has comes and goes: it may also be absent.
    first, last = (Table(guest_text(text, rule), rule, command).rows for text in (before, after))
    rows = [row for key, row in table.rows.items() if key not in table.workers and row[0].strip()
            and key in first and key in last]

    def planted(number, *instead):
        return "".join(f"{line}\n" for line in
                       [*table.lines[:number], *instead, *table.lines[number + 1:]])

    yield "a line more", "".join(f"{line}\n" for line in [*table.lines, "    1 planted"])
    if not rows:
        return
    yield "a line less", planted(chance.choice(rows)[3])
    words, numbers = [], []
    for line, _, columns, number in rows:
        line = table.lines[number]
        for i, (start, end, token) in enumerate(cells(line, columns if rule.get("free") else None)):
            name = columns[min(i, len(columns) - 1)] if columns else ""
            if name in rule.get("state", ()):
                continue
            way = ways(rule, columns, i, line)
            if re.search(r"[a-z]", token):
                words.append((number, line[:start] + re.sub(r"[a-z]", "~", token, 1) + line[end:]))
            if token.isdigit() and way != "any":
                more = str(int(token) * 3 + 1000003)
                numbers.append((number, line[:start] + more + line[end:]))
    for what, choices in (("another word", words), ("another number", numbers)):
        for number, line in chance.sample(choices, min(3, len(choices))):
            yield f"{what}: {line}", planted(number, line)


# ---- rules ------------------------------------------------------------------

def top_adds_up(table):
    """Checks that top's count of tasks is the number of its rows."""
    text = "\n".join(table.text())
    head = re.search(r"^Tasks: *(\d+) total, *(\d+) running, *(\d+) sleeping, *(\d+) stopped, "
                     r"*(\d+) zombie$", text, re.M)
    if not head:
        return ["> no line of tasks"]
    total, *kinds = map(int, head.groups())
    heads = [i for i, line in enumerate(table.lines) if "PID USER" in line]
    if not heads:
        return ["> no line of columns"]
    rows = len(table.lines) - heads[0] - 1
    return [] if total == sum(kinds) == rows else [f"> {head.group()} ({rows} rows)"]


# KiB that change because of the observer: its own memory, and per-CPU lists of free
# pages.
MEMORY = 16384

# By the first words of a command; the longest that fits counts.
#   head   pattern of a line with the names of columns; they end at a blank line
#   label  names for columns without a name, at the left
#   squeeze  several blanks count as one
#   key    columns that name a row; rows of one key are compared wherever they stand
#   free   the last column takes the rest of its line
#   own    rows of the observer are left out
#   drop   lines that are left out
#   moves  by column: how far a value may lie from those of the guest (see between())
#   state  columns with the letter of a process's state
#   lines  for lines without columns: (pattern, how far a value may lie)
#   other  how far all other values may lie; without it, they must not move
#   check  a function that checks the applet's text by itself
PS = {"head": r".*\bPID\b", "key": ("PID", "LWP"), "free": True, "own": True,
      "state": ("STAT", "S"),
      # A share of whole seconds since the start, in a young guest.
      "moves": {"C": "10%+1", "TIME": 0, "%CPU": "10%+0.1",
                # ps computes it from the clock, which may be just before or after a full minute.
                "STIME": 1, "START": 1}}
# Rates and shares since the boot of a young guest: the observer itself takes a few
# hundredths of a second.
SYSSTAT = {"head": r"(\d\d:\d\d:\d\d +(UID|CPU)|avg-cpu|Device)", "other": 1}
RULES = {
    "": {},
    "ps": PS,
    # The agent's pipe and process descriptors are there while it runs a command.
    "lsof": {"drop": r"^ *COMMAND|^(lsof|sh) |^kworker|^factory .*(pipe|\[pidfd|anon_inode|FIFO)",
             "squeeze": True},
    "uptime": {"other": 0},
    "uptime -s": {"other": 1},
    "date": {"other": 0},
    "free": {"head": r" +total", "label": [""],
             "moves": dict.fromkeys(("used", "free", "buff/cache", "buffers", "cache", "available"),
                                    MEMORY)},
    # The guest's own answer goes over a serial line, with an interrupt for each byte. In a
    # short run the rate rises by that at once, and falls again.
    "vmstat": {"head": r" +r +b", "other": 0,
               "moves": {"r": 4, "free": MEMORY, "buff": MEMORY, "cache": MEMORY,
                         "us": 1, "sy": 1, "id": 1, "wa": 1, "st": 1, "in": "2%+1", "cs": "2%+1"}},
    "vmstat -m": {"head": r"Cache +Num",
                  "moves": {"Num": "any", "Total": "any", "Pages": "any"}},
    # The kernel counts the time of an idle CPU up to the present of its clock. For a stopped
    # guest that is known to a tick or two (src/vmst/time.c).
    "vmstat -s": {"lines": [(r"memory$|cache$", MEMORY), (r"total", None), (r"idle cpu ticks$", 8)],
                  "other": 0},
    "mpstat": dict(SYSSTAT, key=("CPU",)),
    "iostat": SYSSTAT,
    "pidstat": dict(SYSSTAT, key=("PID",), own=True, free=True, tamed=True,
                    moves={"CPU": "any", "%MEM": 0, "VSZ": 0, "RSS": 0,
                           **dict.fromkeys(("minflt/s", "majflt/s", "cswch/s", "nvcswch/s"), "10%+0")}),
    "top": {"head": r" +PID USER", "key": ("PID",), "free": True, "own": True, "state": ("S",),
            "unordered": True, "check": top_adds_up,
            # Its first screen compares two points in time that are milliseconds apart.
            "moves": {"%CPU": "any", "TIME+": 0, "%MEM": 0.1},
            "lines": [(r"^Tasks:", 2), (r"^top - ", 0),
                      (r"^%Cpu", "any"),
                      (r"^MiB Mem|^MiB Swap", MEMORY / 1024)]},
}


def rule_of(command):
    command = re.sub(r"^(\w+=\S* )+", "", command)
    best = max((name for name in RULES
                if not name or (command + " ").startswith(name + " ")), key=len)
    return RULES[best]


def read(path):
    with open(path, "rb") as f:
        return f.read().decode("utf-8", "surrogateescape")


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if sys.argv[1:2] in (["-h"], ["--help"]) else 2
    verdict, wrong = compare(sys.argv[1], *map(read, sys.argv[2:]))
    for line in wrong or [verdict]:
        print(line[:400].encode("utf-8", "backslashreplace").decode())
    return verdict == "FAIL"


if __name__ == "__main__":
    sys.exit(main())
