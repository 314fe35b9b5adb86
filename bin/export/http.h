/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The web server of the exporter: a process of its own, without rights, that knows no guest. It
 * asks its parent for the text of a scrape.
 */
#ifndef VLENS_BIN_EXPORT_HTTP_H
#define VLENS_BIN_EXPORT_HTTP_H

#include <stdint.h>

#include "webconfig.h"

/* The answer to a request, which is one byte: enum vl_export_format. With a text comes a file. */
struct http_answer {
	uint64_t len; /* of the file in bytes; 0: there is no text */
};

/*
 * Load the library, and make a listening socket at @address: "HOST:PORT", ":PORT" or "unix:PATH".
 * Without TLS and users (@c) the host must be a loopback. *@path_ret: the path of a socket, to be
 * removed; or NULL. It points into @address.
 */
struct vl_error *http_listen(const char *address, const struct web_config *c, int *fd_ret,
			     const char **path_ret);

/*
 * Start the server on @listening, which it takes over. *@fd_ret is the connection on which it asks;
 * it ends when that is closed.
 */
struct vl_error *http_start(int listening, const struct web_config *c, int *fd_ret);

#endif
