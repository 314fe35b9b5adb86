/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program's process gives up before it executes the program, in the order of these
 * functions. All are safe after a fork of a threaded process.
 */
#ifndef VLENS_REDIRECT_CONFINE_H
#define VLENS_REDIRECT_CONFINE_H

#include <stdbool.h>

/* Of the standard descriptors: none is a socket for datagrams. */
void vl_confine_given(void);
/*
 * What depends on nobody's answer. Of open files the process keeps the first three, pipes and
 * @keep. False: not even that is possible which always is. *@done_ret is for vl_confine_end().
 */
bool vl_confine_begin(int keep, unsigned int *done_ret);
/*
 * The rest. The process, and what it will execute, is confined then. @network: an empty one to
 * enter, which is closed; -1: a new one is made. *@done: what the host let it do,
 * VL_CONFINED_* (redirect.h).
 */
bool vl_confine_end(int network, unsigned int *done);

#endif
