/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the program's process gives up before it executes the program. */
#ifndef VLENS_REDIRECT_CONFINE_H
#define VLENS_REDIRECT_CONFINE_H

#include <stdbool.h>

/*
 * Confine this process, and what it will execute; of open files it keeps the first
 * three, pipes and @keep. @network: an empty one to enter; -1: a new one is made.
 * *@done_ret: what the host let it do, VL_CONFINED_* (redirect.h).
 * False: not even that is possible which always is. Safe after a fork of a
 * threaded process.
 */
bool vl_confine(int keep, int network, unsigned int *done_ret);

#endif
