/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Witnesses (data.h): variables of a kernel for one CPU, where the per-CPU ones are plain. Sorted
 * by function.
 */
#include "../base/array.h"
#include "data.h"

/* clang-format off */
/* Variables that are needed to follow code. */
static const struct vl_data_witness first[] = {
	{ "current_task", "__do_sys_getegid", "L4[L8[L8[&@]*]*]" },
	{ "current_task", "__x64_sys_getegid", "ret L4[L8[L8[&@]*]*]" },
	{ "current_task", "__x64_sys_geteuid", "ret L4[L8[L8[&@]*]*]" },
	{ "current_task", "__x64_sys_getgid", "ret L4[L8[L8[&@]*]*]" },
	{ "current_task", "__x64_sys_getuid", "ret L4[L8[L8[&@]*]*]" },
};

/* Variables that show themselves in code that can be followed. */
static const struct vl_data_witness second[] = {
	{ "contig_page_data", "__build_all_zonelists", "call build_zonelists(&@,?,?,?,?,?)" },
	{ "__preempt_count", "__free_percpu_irq", "test L4[&@],16776960" },
	{ "vm_zone_stat", "__isolate_free_page", "S8[&@]=(L8[&*]+?)" },
	{ "vm_zone_stat", "__page_cache_release", "S8[(?+1*8)+&@]=(L8[(?+1*8)+&*]+?)" },
	{ "__preempt_count", "__schedule_bug.cold", "call _printk(&*,a0*,L4[a0*],(L4[&@]&2147483647),*)" },
	{ "vm_node_stat", "__show_free_areas.cold", "call _printk(&*,L8[&*],L8[&@],L8[&*],L8[&*],L8[&*])" },
	{ "runqueues", "__task_rq_lock", "ret &@" },
	{ "tick_cpu_device", "__tick_broadcast_oneshot_control", "call clockevents_switch_state(L8[&@],3,a2,a3,a4,a5)" },
	{ "__preempt_count", "account_process_tick", "cmp (L4[&@]&16776960),65536" },
	{ "kernel_cpustat", "account_system_index_time", "S8[(a2*8)+&@]=(L8[(a2*8)+&*]+a1)" },
	{ "__preempt_count", "account_system_time", "cmp (L4[&@]&256),1" },
	{ "kernel_cpustat", "account_user_time", "S8[(?*8)+&@]=(L8[(?*8)+&*]+a1)" },
	{ "runqueues", "do_sched_yield", "call L8[L8[cur*]*](&@,a1,a2,a3,a4,a5)" },
	{ "contig_page_data", "first_online_pgdat", "ret &@" },
	{ "runqueues", "scheduler_tick", "call update_rq_clock(&@,*)" },
	{ "tick_cpu_device", "tick_get_device", "ret &@" },
	{ "tick_cpu_sched", "tick_get_tick_sched", "ret &@" },
};

/* Variables that are found by one of their fields. */
static const struct vl_data_witness third[] = {
	{ "init_task", "__x64_sys_kill", "call __task_pid_nr_ns(L8[&@{TASK_TASKS}]*,0,0,*)" },
	{ "tick_cpu_sched", "get_cpu_idle_time_us", "S8[&@{TICK_IDLE_ENTRY}]=ktime_get()" },
	{ "tick_cpu_sched", "get_cpu_iowait_time_us", "S8[&@{TICK_IDLE_ENTRY}]=ktime_get()" },
	/* clock_event_device.features has CLOCK_EVT_FEAT_C3STOP (include/linux/clockchips.h). */
	{ "tick_cpu_device", "tick_broadcast_control", "test L4[L8[&@{TICK_EVTDEV}]*],8" },
	{ "tick_cpu_device", "tick_broadcast_oneshot_control", "test L4[L8[&@{TICK_EVTDEV}]*],8" },
};
/* clang-format on */

const struct vl_data_round vl_data_up[VL_DATA_ROUNDS] = {
	{ first, ARRAY_SIZE(first) },
	{ second, ARRAY_SIZE(second) },
	{ third, ARRAY_SIZE(third) },
};
