/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An end for calls into a library that has none of its own. */
#ifndef VLENS_HOST_BOUNDED_H
#define VLENS_HOST_BOUNDED_H

#include <stdbool.h>

/*
 * Run @fn(@arg) in a thread of its own, and wait @ms milliseconds at most. False: it goes on, as
 * long as this process lives; @arg and all that it leads to is the thread's own from now on, and
 * @left(@arg) is called in it, should it ever end. Where there is no thread to be had, it is run
 * here, with no end.
 */
bool vl_bounded(void (*fn)(void *arg), void *arg, unsigned int ms, void (*left)(void *arg));

#endif
