/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the functions that answer system calls. */
#ifndef VLENS_CALLS_H
#define VLENS_CALLS_H

/*
 * The name of the handler of system call @name on x86-64, without its prefix (__x64_sys_). It is
 * @name, except for calls whose handler has, or had, another name.
 */
const char *vl_call_handler(const char *name);

#endif
