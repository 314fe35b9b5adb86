/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's process confines itself before it executes the program, by these functions in
 * this order. All are safe after a fork of a threaded process.
 */
#ifndef VLENS_REDIRECT_CONFINE_H
#define VLENS_REDIRECT_CONFINE_H

#include <stdbool.h>

/* Replace standard descriptors that are datagram sockets by /dev/null. */
void vl_confine_given(void);
/*
 * The steps that need no answer of the supervisor. The process keeps the first three
 * descriptors, pipes and @keep open. False: a step failed that every host permits. *@done_ret
 * is for vl_confine_end().
 */
bool vl_confine_begin(int keep, unsigned int *done_ret);
/*
 * The other steps. @network: a descriptor of an empty network namespace, which is entered and
 * closed; -1: a new one is made. *@done: the steps that the host permitted, VL_CONFINED_*
 * (redirect.h). False: as above.
 */
bool vl_confine_end(int network, unsigned int *done);

#endif
