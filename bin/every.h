/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --all of a mirrored program. */
#ifndef VLENS_BIN_EVERY_H
#define VLENS_BIN_EVERY_H

#include "request.h"

/*
 * Call @run for each guest of this host in a process of its own, with the guest as `spec`, and
 * print its lines with the guest's name in front. Returns the exit status: STATUS_GUEST if a guest
 * could not be asked, else the largest of all.
 */
int every_guest(struct request *r, int (*run)(struct request *r));

#endif
