/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_PROCESS_H
#define VLENS_BASE_PROCESS_H

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
