/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_PROCESS_H
#define VLENS_BASE_PROCESS_H

#include <stdint.h>

/*
 * The number, in base @base, of the line "@name: NUMBER" in a file of /proc (status, fdinfo).
 * @fmt gives its path. Returns @otherwise when the file, the line or the number is missing.
 */
uint64_t vl_proc_number(const char *name, int base, uint64_t otherwise, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Rename this process to @name, also in its command line: `pkill -f` with the tool's name then
 * spares it. A forked process changes only its own copy. Allocates nothing.
 */
void vl_process_rename(const char *name);
/*
 * Set how soon the kernel ends this process when memory is short (proc(5), oom_score_adj): "1000"
 * is first, "-1000" never. Only root may lower it.
 */
void vl_process_set_oom(const char *score);

#endif
