/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory for what is true only until the next boot. */
#ifndef VLENS_TARGET_RUNTIME_H
#define VLENS_TARGET_RUNTIME_H

/*
 * The path of the runtime directory, made if need be: /run/vlens for root, else
 * $XDG_RUNTIME_DIR/vlens. It is ours and closed to others, or not used. The
 * result is malloc'ed; NULL: there is none (nothing is cached then).
 */
char *vl_runtime_dir(void);

/* Put @text into the file @path at once (by rename). Best effort. */
void vl_runtime_store(const char *path, const char *text);

#endif
