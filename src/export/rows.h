/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics of a guest as rows of a table: the worker fills it (collect.h), the broker adds to it
 * (choose.h), and format.h writes it as text. A row is one sample: a metric, its value, its labels.
 * A row about a process is not a sample: choose.h makes samples of some of them.
 */
#ifndef VLENS_EXPORT_ROWS_H
#define VLENS_EXPORT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "../view/table.h"

/* The most labels of a metric, without `guest`. */
#define VL_METRIC_LABELS 6

/*
 * The limits of what the broker takes from a worker: rows, bytes of a text and bytes in all. The
 * last is the number of processes that the worker gives; it only counts the others.
 */
#define VL_EXPORT_PROCESSES_MAX 65536
#define VL_EXPORT_ROWS_MAX (4 * VL_EXPORT_PROCESSES_MAX)
#define VL_EXPORT_LABEL_MAX 256
#define VL_EXPORT_PARCEL_MAX (128UL << 20)

/* The columns of the table. Those of a process have names whose limits plausible.c knows. */
enum {
	VL_ROW_METRIC, /* enum vl_metric */
	VL_ROW_VALUE,  /* in the metric's unit; of a process its CPU time in ns */
	/* The first label; of a process: its name, its control group, its container. */
	VL_ROW_LABEL,
	VL_ROW_PID = VL_ROW_LABEL + VL_METRIC_LABELS,
	VL_ROW_START, /* ns of the guest's boot-time clock */
	VL_ROW_RSS,   /* bytes */
	VL_ROW_VSZ,   /* bytes */
	VL_ROW_THREADS,
	VL_ROW_FILES, /* open files */
};

extern const struct vl_column vl_export_columns[];

/*
 * The view that fills it by one pass over a guest: a row for each sample, and one for each process.
 */
struct vl_scan;
extern const struct vl_scan vl_scan_export;

/* A row for each metric: its name without a counter's "_total", and its help. */
/* clang-format off */
#define VL_METRICS(M) \
	M(UP, GAUGE, ONE, "vlens_guest_up", "Could the guest be read: 1 or 0.", NULL) \
	M(STATE, GAUGE, ONE, "vlens_guest_state", "State of the guest: 1 for the one that it has.", "state") \
	M(INFO, GAUGE, ONE, "vlens_guest_info", "The guest: its name and its place on this host.", "name", "spec") \
	M(MISSING, GAUGE, ONE, "vlens_guest_missing", "A part of the metrics that is absent because its kernel does not show what it needs: 1.", "part", "reason") \
	M(COST, COUNTER, NS, "vlens_guest_scrape_cpu_seconds", "CPU time of reading the guest, without that of the text.", NULL) \
	M(TIME, GAUGE, NS, "vlens_guest_scrape_duration_seconds", "Time that the last reading of the guest took.", NULL) \
	M(PAUSED, COUNTER, NS, "vlens_guest_paused_seconds", "Time for which this exporter has held the guest.", NULL) \
	M(HIDDEN_PROCESSES, GAUGE, ONE, "vlens_guest_hidden_processes", "Processes that have a process id and are not in the list of processes.", NULL) \
	M(HIDDEN_MODULES, GAUGE, ONE, "vlens_guest_hidden_modules", "Modules that have an object in sysfs and are not in the list of modules.", NULL) \
	M(MODULES, GAUGE, ONE, "vlens_guest_modules", "Modules in the kernel's list.", NULL) \
	M(TAINTED, GAUGE, ONE, "vlens_guest_tainted", "What taints the kernel, as the bits of /proc/sys/kernel/tainted.", NULL) \
	M(PANICKED, GAUGE, ONE, "vlens_guest_panicked", "Has its kernel panicked: 1 or 0.", NULL) \
	M(UPTIME, GAUGE, NS, "vlens_guest_uptime_seconds", "Time since it booted, as of its last tick.", NULL) \
	M(CACHE, GAUGE, ONE, "vlens_guest_memory_cache_bytes", "Buffers and cache, buff/cache of free(1).", NULL) \
	M(BOOT_TIME, GAUGE, NS, "node_boot_time_seconds", "When it booted, by its own clock.", NULL) \
	M(CLOCK, GAUGE, NS, "node_time_seconds", "Its own clock, as of its last tick.", NULL) \
	M(UNAME, GAUGE, ONE, "node_uname_info", "Its names, as uname(2) has them.", "sysname", "release", "version", "machine", "nodename", "domainname") \
	M(CPU, COUNTER, NS, "node_cpu_seconds", "Time of each CPU in each mode, as the guest counts it.", "cpu", "mode") \
	M(LOAD1, GAUGE, HUNDREDTHS, "node_load1", "Load over a minute.", NULL) \
	M(LOAD5, GAUGE, HUNDREDTHS, "node_load5", "Load over five minutes.", NULL) \
	M(LOAD15, GAUGE, HUNDREDTHS, "node_load15", "Load over fifteen minutes.", NULL) \
	M(MEM_TOTAL, GAUGE, ONE, "node_memory_MemTotal_bytes", "MemTotal of /proc/meminfo.", NULL) \
	M(MEM_FREE, GAUGE, ONE, "node_memory_MemFree_bytes", "MemFree of /proc/meminfo.", NULL) \
	M(MEM_AVAILABLE, GAUGE, ONE, "node_memory_MemAvailable_bytes", "MemAvailable of /proc/meminfo.", NULL) \
	M(MEM_SHMEM, GAUGE, ONE, "node_memory_Shmem_bytes", "Shmem of /proc/meminfo.", NULL) \
	M(SWAP_TOTAL, GAUGE, ONE, "node_memory_SwapTotal_bytes", "SwapTotal of /proc/meminfo.", NULL) \
	M(SWAP_FREE, GAUGE, ONE, "node_memory_SwapFree_bytes", "SwapFree of /proc/meminfo.", NULL) \
	M(PSI_CPU, COUNTER, NS, "node_pressure_cpu_waiting_seconds", "Time for which tasks waited for a CPU.", NULL) \
	M(PSI_IO, COUNTER, NS, "node_pressure_io_waiting_seconds", "Time for which tasks waited for I/O.", NULL) \
	M(PSI_IO_FULL, COUNTER, NS, "node_pressure_io_stalled_seconds", "Time for which all tasks waited for I/O.", NULL) \
	M(PSI_MEM, COUNTER, NS, "node_pressure_memory_waiting_seconds", "Time for which tasks waited for memory.", NULL) \
	M(PSI_MEM_FULL, COUNTER, NS, "node_pressure_memory_stalled_seconds", "Time for which all tasks waited for memory.", NULL) \
	M(PSI_IRQ_FULL, COUNTER, NS, "node_pressure_irq_stalled_seconds", "Time for which all tasks waited for interrupts.", NULL) \
	M(TCP_STATES, GAUGE, ONE, "node_tcp_connection_states", "TCP sockets in each state, in all network namespaces.", "state") \
	M(IP_IN, UNTYPED, ONE, "node_netstat_IpExt_InOctets", "InOctets of /proc/net/netstat.", NULL) \
	M(IP_OUT, UNTYPED, ONE, "node_netstat_IpExt_OutOctets", "OutOctets of /proc/net/netstat.", NULL) \
	M(PROCESSES, GAUGE, ONE, "node_processes_state", "Processes in each state, a letter of ps(1).", "state") \
	M(PIDS, GAUGE, ONE, "node_processes_pids", "Processes.", NULL) \
	M(THREADS, GAUGE, ONE, "node_processes_threads", "Threads.", NULL) \
	M(CGROUP_PROCS, GAUGE, ONE, "vlens_cgroup_processes", "Processes of the control group.", "cgroup", "container") \
	M(CGROUP_RSS, GAUGE, ONE, "vlens_cgroup_memory_bytes", "Resident memory of its processes; what they share counts for each.", "cgroup", "container") \
	M(CGROUP_THREADS, GAUGE, ONE, "vlens_cgroup_threads", "Threads of its processes.", "cgroup", "container") \
	M(CGROUP_FILES, GAUGE, ONE, "vlens_cgroup_open_files", "Open files of its processes.", "cgroup", "container") \
	M(GROUP_PROCS, GAUGE, ONE, "namedprocess_namegroup_num_procs", "Processes of this name.", "groupname") \
	M(GROUP_CPU, COUNTER, NS, "namedprocess_namegroup_cpu_seconds", "CPU time of the process.", "groupname", "pid", "cgroup", "container") \
	M(GROUP_RSS, GAUGE, ONE, "namedprocess_namegroup_memory_bytes", "Memory of the process.", "groupname", "pid", "cgroup", "container", "memtype") \
	M(GROUP_THREADS, GAUGE, ONE, "namedprocess_namegroup_num_threads", "Threads of the process.", "groupname", "pid", "cgroup", "container") \
	M(GROUP_FILES, GAUGE, ONE, "namedprocess_namegroup_open_filedesc", "Open files of the process.", "groupname", "pid", "cgroup", "container") \
	M(GROUP_START, GAUGE, NS, "namedprocess_namegroup_oldest_start_time_seconds", "When the process started, by the guest's clock.", "groupname", "pid", "cgroup", "container")
/* clang-format on */

enum vl_metric {
#define VL_METRIC_ID(id, ...) VL_METRIC_##id,
	VL_METRICS(VL_METRIC_ID)
#undef VL_METRIC_ID
		VL_NR_METRICS,
	VL_METRIC_PROCESS = VL_NR_METRICS, /* a row about a process */
};

/* UNTYPED: a counter without "_total", as node_exporter has some. */
enum vl_metric_kind { VL_METRIC_GAUGE, VL_METRIC_COUNTER, VL_METRIC_UNTYPED };
/* The unit of a row's value; the text has seconds, and numbers. */
enum vl_metric_unit { VL_METRIC_ONE, VL_METRIC_NS, VL_METRIC_HUNDREDTHS };

struct vl_family {
	enum vl_metric_kind kind;
	enum vl_metric_unit unit;
	const char *name, *help;
	const char *labels[VL_METRIC_LABELS + 1]; /* up to NULL */
};

extern const struct vl_family vl_families[VL_NR_METRICS];

/* Add a sample without labels, and one with the @nr texts in @labels; NULL is an empty label. */
void vl_sample(struct vl_table *t, enum vl_metric m, uint64_t value);
void vl_sample_of(struct vl_table *t, enum vl_metric m, uint64_t value, const char *const *labels,
		  size_t nr);
#define VL_SAMPLE(t, m, value, ...) \
	vl_sample_of(t, VL_METRIC_##m, value, (const char *const[]){ __VA_ARGS__ }, \
		     sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* Cut @t, which a worker gave, to those limits: its texts may overlap, each as long as all. */
void vl_export_cut(struct vl_table *t);

/*
 * The error @err of the pass that filled @t; NULL if @t only lacks figures that no running kernel
 * has: a user of the guest may be able to make one, and must not end all metrics. Takes @err over.
 */
struct vl_error *vl_export_kept(const struct vl_table *t, struct vl_error *err);

#endif
