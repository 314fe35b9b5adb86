/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of users, from the text of a guest's /etc/passwd. */
#ifndef VLENS_USERS_H
#define VLENS_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vl_users;

/*
 * Parse the users of @text (@len bytes), which is hostile: a line whose name is too long, or
 * has anything but visible ASCII, is ignored. NULL: there is no user, or no memory.
 */
struct vl_users *vl_users_parse(const char *text, size_t len);
void vl_users_destroy(struct vl_users *u);

/* The name of user @uid, the first that is listed; NULL: it has none. @u may be NULL. */
const char *vl_users_name(const struct vl_users *u, uint32_t uid);

/* Set *@uid_ret to the id of the first user called @name. False: there is none. @u may be NULL. */
bool vl_users_id(const struct vl_users *u, const char *name, uint32_t *uid_ret);

#endif
