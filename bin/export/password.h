/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Passwords of the exporter's users, by bcrypt. */
#ifndef VLENS_BIN_EXPORT_PASSWORD_H
#define VLENS_BIN_EXPORT_PASSWORD_H

#include <crypt.h>
#include <pthread.h>
#include <stdbool.h>

#include "webconfig.h"

struct passwords {
	const struct web_config *config;
	char *(*crypt)(const char *, const char *, struct crypt_data *);
	pthread_mutex_t lock; /* of bcrypt: one at a time */
	unsigned waiting;     /* those that wait for `lock` or have it */
	pthread_mutex_t last_lock;
	/* The SHA-256 of the last pair that was right: bcrypt takes some 50 ms, on purpose. */
	unsigned char last[32];
	bool has_last;
};

/* Load the library that checks them, if @c has users. */
struct vl_error *passwords_init(struct passwords *p, const struct web_config *c);

enum password_answer {
	PASSWORD_WRONG,
	PASSWORD_RIGHT,
	PASSWORD_BUSY, /* too many are being checked: it is not known */
};

/*
 * The pair that was right last is known at once; any other takes some 50 ms, one at a time. An
 * unknown user takes as long as a wrong password.
 */
enum password_answer password_check(struct passwords *p, const char *user, const char *password);

#endif
