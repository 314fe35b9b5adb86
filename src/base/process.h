/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_PROCESS_H
#define VLENS_BASE_PROCESS_H

#include <stdint.h>

/*
 * The number of base @base in the line "@name:" of a file of /proc that has such lines (status,
 * fdinfo), whose path @fmt makes. @otherwise: there is no such file, line or number.
 */
uint64_t vl_proc_number(const char *name, int base, uint64_t otherwise, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Call this process @name, also in its command line, of which a fork has its own copy:
 * `pkill -f` with the tool's name then spares it. Allocates nothing.
 */
void vl_process_rename(const char *name);
/*
 * How soon this process goes when the host is short of memory (proc(5), oom_score_adj): "1000" is
 * first, "-1000" never, which only root may say.
 */
void vl_process_set_oom(const char *score);

#endif
