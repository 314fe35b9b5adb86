# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that a tool prints the same of a dump when its kernel shows less of itself (tests/lib/forge)."""
import contextlib
import os
import shutil
import subprocess

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT = 120
UNREACHABLE = 3  # the status of a tool that refuses the guest

# What is hidden: kinds of tests/lib/forge.
BLINDS = {"no types": ["untyped"], "no data": ["data"], "neither": ["data", "untyped"]}

# A tool that needs what is hidden, and its message without it, which proves that a dump is blind.
PROOFS = {"untyped": ("vcheck", "no BTF types"), "data": ("vsyscalldump", "symbols of its code only")}

# Views of memory. Without types one may be refused, because code does not show every field.
VIEWS = ["vpslist", "vpidlist", "vcredlist", "vuname --engine=direct", "vps --engine=direct", "vfree --engine=direct",
         "vlsmod --engine=direct", "vnetstat --engine=direct", "vlsof --engine=direct", "vip --engine=direct"]
REFUSALS = {"untyped": "no BTF types", "data": "symbols of its code only"}


def run(argv, dump, env):
    """(status, stdout, stderr) of an applet with its arguments, without a keeper."""
    applet, *args = argv
    try:
        done = subprocess.run([applet, dump, *args], env=dict(env, VLENS_KEEP="0"),
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return 124, "", "no end in time\n"
    return (done.returncode, *(text.decode("utf-8", "surrogateescape")
                               for text in (done.stdout, done.stderr)))


@contextlib.contextmanager
def blind(dump, kinds, env):
    """A copy of the dump in which @kinds are hidden, and the environment of tools on it."""
    folder = f"{dump}.blind"
    os.makedirs(folder)
    try:
        copy = f"{folder}/dump"
        subprocess.run(["cp", "--sparse=always", dump, copy], check=True)
        for kind in kinds:
            subprocess.run([f"{TESTS}/lib/forge", copy, f"{folder}/undo", kind], check=True)
        yield copy, dict(env, VLENS_RUN_DIR=f"{folder}/run", VLENS_CACHE_DIR=f"{folder}/cache",
                         VLENS_TRUST_DIR=f"{folder}/trusted", VLENS_TYPES_DIR=f"{folder}/types")
    finally:
        shutil.rmtree(folder)


def unproven(build, dump, env, kinds):
    """Why the dump is not blind, or ""."""
    for kind in kinds:
        tool, said = PROOFS[kind]
        status, _, err = run([f"{build}/{tool}"], dump, env)
        if status == 0 or not any(PROOFS[k][1] in err for k in kinds):
            return f"{kind} is not hidden: {tool} says '{err.strip()}', not '{said}'"
    return ""


def compare(name, view, whole, part):
    """Lines about differences between what was said of the dump and of the blind one."""
    (status, out, _), (got_status, got, err) = whole, part
    if view and got_status == UNREACHABLE and any(REFUSALS[kind] in err for kind in BLINDS[name]):
        return []
    if (status, out) == (got_status, got):
        return []
    here, there = out.split("\n"), got.split("\n")
    lines = [f"{'<' if line in here else '>'} {line}" for line in here + there
             if (line in here) != (line in there)]
    return [f"{name}: status {got_status}, not {status}: {err.strip()}", *lines[:40]]
