/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BIN_EXPORT_WEBBOX_H
#define VLENS_BIN_EXPORT_WEBBOX_H

#include <stdbool.h>

/*
 * Take all rights from this process, which has one thread: it keeps the descriptors @fds (whose
 * numbers change), has no capability, and makes only the calls that a server of its connections
 * needs. root becomes nobody; any other user stays. False: it could not be done.
 */
bool web_confine(int fds[2]);

#endif
