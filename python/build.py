# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: build.py SOURCE-FOLDER OUTPUT.c [COMPILER WORD...]

Writes the C source of the Python module vlens._vlens. What it declares is the public header as the
compiler reads it, so the binding has all of the interface and cannot differ from it.
"""
import re
import subprocess
import sys

import cffi

# All that is installed: the first one includes the others.
HEADERS = ("vlens.h", "keep/keep.h")

# Types of the system. The compiler knows what they are.
SYSTEM = "".join(f"typedef int... {name};\n" for name in ("gid_t", "pid_t", "time_t", "uid_t"))

# What the module offers to the library: the values of a place in memory, one by one.
CALLBACKS = """
extern "Python" void vlens_value(void *, const char *, const struct vl_value *);
extern "Python" void vlens_open(void *, const char *, const char *, bool, const struct vl_value *);
extern "Python" void vlens_close(void *, bool);
extern "Python" void vlens_more(void *, uint64_t);
"""


def of_us(text, folder):
    """The lines of a preprocessed text that come from the headers in @folder."""
    lines, ours = [], False
    for line in text.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            ours = marker[1].startswith(folder + "/")
        elif ours:
            lines.append(line)
    return "\n".join(lines)


def declarations(text):
    """@text without the bodies of inline functions, and without functions that take a va_list."""
    text = re.sub(r"static inline [^{;]*\{(?:[^{}]|\{[^{}]*\})*\}", "", text)
    text = re.sub(r"^[\w *]*\([^;{}()]*va_list[^;]*;", "", text, flags=re.M)
    # Of an enum that is not public only pointers are.
    for name in re.findall(r"^enum (\w+);", text, re.M):
        text = re.sub(rf"^enum {name};", "", text, flags=re.M)
        text = re.sub(rf"\benum {name} \*", "void *", text)
    return text


def main():
    source, output, *compiler = sys.argv[1:]
    folder = source + "/src"
    include = "".join(f'#include "{folder}/{header}"\n' for header in HEADERS)
    text = subprocess.run(
        compiler + ["-E", "-D__attribute__(x)=", "-iquote", folder, "-x", "c", "-"],
        check=True, input=include, stdout=subprocess.PIPE, text=True).stdout
    ffi = cffi.FFI()
    ffi.cdef(SYSTEM + declarations(of_us(text, folder)) + CALLBACKS)
    ffi.set_source("vlens._vlens", "".join(f'#include "{header}"\n' for header in HEADERS))
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main()
