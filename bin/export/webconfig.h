/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of --web-config: TLS and users, as the exporters of Prometheus have them. */
#ifndef VLENS_BIN_EXPORT_WEBCONFIG_H
#define VLENS_BIN_EXPORT_WEBCONFIG_H

#include <stddef.h>

#include "error.h"

struct web_user {
	char *name, *hash; /* of bcrypt */
};

struct web_config {
	char *cert, *key; /* PEM; NULL: no TLS */
	struct web_user *users;
	size_t nr_users;
};

/* Read the file at @path. VL_ERR_ARG: it asks for something that is not known here. */
struct vl_error *web_config_read(const char *path, struct web_config *ret);
void web_config_free(struct web_config *c);

#endif
