/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes of many bytes, which a system call may do in parts. */
#ifndef VLENS_BASE_TRANSFER_H
#define VLENS_BASE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read @len bytes at @at of @fd. Returns how many: less at the end of the file, with errno 0, or
 * after an error.
 */
size_t vl_get_at(int fd, void *buf, size_t len, uint64_t at);
/* The same; false: less. */
bool vl_get_whole(int fd, void *buf, size_t len, uint64_t at);

/* Write @len bytes to @fd, at its offset or at @at. False: errno says why. */
bool vl_put_whole(int fd, const void *buf, size_t len);
bool vl_put_whole_at(int fd, const void *buf, size_t len, uint64_t at);

#endif
