/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serves the text of scrapes, or writes it to a file. */
#ifndef VLENS_BIN_EXPORT_SERVE_H
#define VLENS_BIN_EXPORT_SERVE_H

#include "fleet.h"

/*
 * Serve at @address until SIGTERM, SIGINT or SIGHUP; @config is a file, or NULL. Returns the exit
 * status. Call it before a guest is found: the server's process knows none.
 */
int serve_run(struct export_fleet *f, const char *address, const char *config);

/* Write one scrape to the file at @path, which a reader sees whole. Returns the exit status. */
int textfile_run(struct export_fleet *f, const char *path);

/* A scrape waits so long for a guest that does not answer. A first attach takes longer. */
#define SERVE_NS (5 * VL_NSEC_PER_SEC)
#define ONCE_NS (60 * VL_NSEC_PER_SEC)

#endif
