/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A timeout for calls into a library that has none. */
#ifndef VLENS_HOST_BOUNDED_H
#define VLENS_HOST_BOUNDED_H

#include <stdbool.h>

/*
 * Run @fn(@arg) in a thread of its own, and wait @ms milliseconds at most. False: timeout. The
 * thread goes on and owns @arg with all that it points to; when @fn returns, the thread calls
 * @left(@arg). If no thread can be started, @fn runs in the caller, without a timeout.
 */
bool vl_bounded(void (*fn)(void *arg), void *arg, unsigned int ms, void (*left)(void *arg));

#endif
