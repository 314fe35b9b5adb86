/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, by their files of /proc. */
#ifndef VLENS_BASE_PROCESS_H
#define VLENS_BASE_PROCESS_H

#include <stdbool.h>
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
/*
 * Does PID 1 reap the children that this process leaves behind? The host's init does; PID 1 of a
 * container may be any program.
 */
bool vl_process_has_reaper(void);

/*
 * Look up one mapping of a process by its address. The text of /proc/PID/maps takes the kernel a
 * microsecond a mapping, and a hypervisor has hundreds.
 */

/* PROCMAP_QUERY_* of linux/fs.h, since Linux 6.11. */
enum vl_procmap_flag {
	VL_PROCMAP_WRITABLE = 0x02,
	VL_PROCMAP_EXECUTABLE = 0x04,
	VL_PROCMAP_SHARED = 0x08,
	VL_PROCMAP_NEXT = 0x10, /* if no mapping holds the address, take the next one */
};

struct vl_procmap {
	uint64_t start, end; /* end exclusive */
	uint64_t flags;	     /* enum vl_procmap_flag */
	uint64_t offset;     /* of start in the file */
	uint64_t ino;	     /* 0: no file */
	uint32_t major, minor;
};

/*
 * The mapping that holds @addr, if it has all @flags. @fd is an open maps file of /proc. Returns
 * 0 or -errno. -ENOENT: there is none; -ENOTTY: the host's kernel is older than 6.11.
 */
int vl_procmap_query(int fd, uint64_t flags, uint64_t addr, struct vl_procmap *ret);

#endif
