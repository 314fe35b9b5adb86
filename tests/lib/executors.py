# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that a tool prints the same bytes of a dump by each executor."""
import re
import subprocess

EXECUTORS = ["vmst/unicorn", "vmst/native", "vmst/kvm"]
UNREACHABLE = 3  # the status if an executor cannot serve the dump
TIMEOUT = 120
ENGINE = re.compile(r"^engine: *(\S+)$", re.M)


def run(argv, dump, env, executor):
    """(status, stdout, stderr) of an applet with its arguments, without a keeper."""
    applet, *args = argv
    try:
        done = subprocess.run([applet, f"--engine={executor}", "--stats", dump, *args],
                              env=dict(env, VLENS_KEEP="0"), stdin=subprocess.DEVNULL,
                              timeout=TIMEOUT, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return 124, "", "no end in time\n"
    return (done.returncode, *(text.decode("utf-8", "surrogateescape")
                               for text in (done.stdout, done.stderr)))


def that_serve(argv, dump, env):
    """The executors that serve a dump on this host, and {name: reason} of the others."""
    done = {name: run(argv, dump, env, name) for name in EXECUTORS}
    return ([name for name in EXECUTORS if done[name][0] != UNREACHABLE],
            {name: done[name][2].partition("\n")[0] for name in EXECUTORS if done[name][0] == UNREACHABLE})


def compare(argv, dump, env, names):
    """Lines about differences, and {executor: its whole output}."""
    done = {name: run(argv, dump, env, name) for name in names}
    wrong = [f"{name}: was run by {ENGINE.findall(err)}" for name, (_, _, err) in done.items()
             if ENGINE.findall(err) != [name]]
    if len({(status, out) for status, out, _ in done.values()}) > 1:
        wrong += [f"{name}: status {status}, {len(out)} bytes" for name, (status, out, _) in done.items()]
    return wrong, {name: f"{out}{err}status {status}\n" for name, (status, out, err) in done.items()}
