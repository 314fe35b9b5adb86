/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "password.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/library.h"

/* Longer ones are not looked at: bcrypt takes 72 bytes. */
#define PASSWORD_MAX 72
/* The most that are checked or wait for it. */
#define WAITING_MAX 8

struct vl_error *passwords_init(struct passwords *p, const struct web_config *c)
{
	static const struct vl_library lib = {
		.file = "libcrypt.so.1",
		.name = "libcrypt, which checks passwords",
		.hint = "install it (on Debian: apt install libcrypt1)",
	};
	static const char *const functions[] = { "crypt_r" };

	*p = (struct passwords){ .config = c,
				 .lock = PTHREAD_MUTEX_INITIALIZER,
				 .last_lock = PTHREAD_MUTEX_INITIALIZER };
	return c->nr_users ? vl_library_load(&lib, functions, 1, &p->crypt) : NULL;
}

static void digest(const char *user, const char *password, unsigned char ret[32])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	/* With the NUL, so that "ab" and "c" differ from "a" and "bc". */
	sha256_update(&sha, strlen(user) + 1, (const uint8_t *)user);
	sha256_update(&sha, strlen(password), (const uint8_t *)password);
	sha256_digest(&sha, 32, ret);
}

static const struct web_user *find(const struct web_config *c, const char *name)
{
	for (size_t i = 0; i < c->nr_users; i++)
		if (!strcmp(c->users[i].name, name))
			return &c->users[i];
	return NULL;
}

static bool matches(const struct passwords *p, const char *hash, const char *password)
{
	_cleanup_free_ struct crypt_data *data = calloc(1, sizeof(*data));
	const char *made = data ? p->crypt(password, hash, data) : NULL;

	return made && strlen(made) == strlen(hash) && memeql_sec(made, hash, strlen(hash));
}

static bool is_last(struct passwords *p, const unsigned char now[32])
{
	bool is;

	pthread_mutex_lock(&p->last_lock);
	is = p->has_last && memeql_sec(now, p->last, 32);
	pthread_mutex_unlock(&p->last_lock);
	return is;
}

static void remember(struct passwords *p, const unsigned char now[32])
{
	pthread_mutex_lock(&p->last_lock);
	memcpy(p->last, now, 32);
	p->has_last = true;
	pthread_mutex_unlock(&p->last_lock);
}

/* Room in the queue for one more, which is counted. */
static bool queue(struct passwords *p)
{
	if (__atomic_add_fetch(&p->waiting, 1, __ATOMIC_RELAXED) <= WAITING_MAX)
		return true;
	__atomic_sub_fetch(&p->waiting, 1, __ATOMIC_RELAXED);
	return false;
}

enum password_answer password_check(struct passwords *p, const char *user, const char *password)
{
	const struct web_user *u = find(p->config, user);
	unsigned char now[32];
	bool good;

	if (strlen(password) > PASSWORD_MAX)
		return PASSWORD_WRONG;
	digest(user, password, now);
	if (is_last(p, now))
		return PASSWORD_RIGHT;
	if (!queue(p))
		return PASSWORD_BUSY;
	pthread_mutex_lock(&p->lock);
	good = matches(p, u ? u->hash : p->config->users[0].hash, password) && u;
	pthread_mutex_unlock(&p->lock);
	__atomic_sub_fetch(&p->waiting, 1, __ATOMIC_RELAXED);
	if (good)
		remember(p, now);
	return good ? PASSWORD_RIGHT : PASSWORD_WRONG;
}
