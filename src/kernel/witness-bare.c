/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Witnesses (data.h) for a kernel that names only the functions which modules or programs call
 * (exports.h).
 */
#include "../base/array.h"
#include "data.h"

/* mov $14,%esi: the number of the page fault (X86_TRAP_PF), as a second argument. */
static const unsigned char second_is_fault[] = { 0xbe, 14, 0, 0, 0 };

/* clang-format off */
/* Functions that are found by calls of them. */
static const struct vl_data_witness first[] = {
	{ "__schedule", "schedule", "call @(0,*" },
	{ "try_to_wake_up", "wake_up_process", "call @(a0,3,0,*" },
	{ "__mutex_lock_slowpath", "mutex_lock", "call @(a0,?,cur,*" },
	{ "__mutex_lock_killable_slowpath", "mutex_lock_killable", "call @(a0,?,cur,*" },
	{ "__mutex_lock_interruptible_slowpath", "mutex_lock_interruptible", "call @(a0,?,cur,*" },
	{ "rwsem_down_read_slowpath", "down_read", "call @(a0,2,-9223372036854775801,*" },
	{ "rwsem_down_read_slowpath", "down_read", "call @(a0,?+256,2,*" },
	{ "rwsem_down_write_slowpath", "down_write", "call @(a0,2,1,*" },
	{ "native_queued_spin_lock_slowpath", "_raw_spin_lock", "call @(a0,?,1,*" },
	{ "smp_call_function_many_cond", "smp_call_function_many", "call @(a0,a1,a2,a3,0,*" },
	{ "do_exit", "__x64_sys_exit", "call @(((L8[a0+112]<<8)&65280),*" },
	{ "do_sched_yield", "__x64_sys_sched_yield", "call @(a0,*" },
	{ "__do_sys_sysinfo", "__x64_sys_sysinfo", "call @(L8[a0+112],*" },
	{ "do_sysinfo", "__do_sys_sysinfo", "call @(stack-*" },
	{ "si_swapinfo", "do_sysinfo", "call @(a0,*" },
	{ "__do_sys_delete_module", "__x64_sys_delete_module", "call @(L8[a0+112],L*[a0+104],*" },
	{ "find_module", "__do_sys_delete_module", "call @(stack-*,?,?,?,?,?)" },
	{ "find_module_all", "find_module", "call @(a0,strlen(),0,*" },
	{ "fixup_exception", "do_machine_check", "call @(a0,18,0,0,*" },
	{ "current_task", "__x64_sys_getegid", "L4[L8[L8[%@]*]*]" },
	{ "current_task", "__x64_sys_geteuid", "L4[L8[L8[%@]*]*]" },
	{ "current_task", "__x64_sys_getgid", "L4[L8[L8[%@]*]*]" },
	{ "current_task", "__x64_sys_getuid", "L4[L8[L8[%@]*]*]" },
};

/* Variables. In struct sysinfo (include/uapi/linux/sysinfo.h), totalswap is at 64. */
static const struct vl_data_witness second[] = {
	{ "total_swap_pages", "si_swapinfo", "S8[a0+64]=(L4[L8[&*]*]+L8[&@])" },
	{ "total_swap_pages", "si_swapinfo", "S8[a0+64]=((L8[L8[&*]*]&*)+L8[&@])" },
	{ "totalreserve_pages", "si_mem_available", "move (((0-L8[&@])-(L8[?()*" },
	{ "totalreserve_pages", "si_mem_available", "ret (((?-L8[&@])-(L8[?()*" },
	{ "runqueues", "do_sched_yield", "call L8[L8[*]*](L8[%*]+%@,?,?,?,?,?)" },
	{ "tick_cpu_sched", "get_cpu_idle_time_us", "call ktime_get(a0,a1,L8[(a0*8)+&*]+%@,*" },
	{ "tick_cpu_sched", "get_cpu_idle_time_us", "call 0x*(L8[(a0*8)+&*]+%@,L8[(a0*8)+&*" },
	{ "tick_cpu_device", "tick_broadcast_control", "test L8[L8[%*]+%@],L8[L8[%*]+%*]" },
};

/* Variables that are found by one of their fields. */
static const struct vl_data_witness third[] = {
	{ "runqueues", "kick_process", "cmp a0,L8[L8[(L4[a0*]*8)+&*]+%@{RQ_CURR}]" },
	{ "tick_cpu_sched", "get_cpu_idle_time_us", "S8[L8[(a0*8)+&*]+%@{TICK_IDLE_ENTRY}]=ktime_get()" },
	{ "tick_cpu_sched", "tick_nohz_dep_clear_cpu", "S4[L8[(a0*8)+&*]+%@{TICK_DEP}]=*" },
};
/* In no_context or kernelmode_fixup_or_oops; it looks up pt_regs.ip, which is at 128. */
const struct vl_data_callee vl_data_callees[VL_DATA_CALLEES] = {
	{ "fixup_exception", second_is_fault, sizeof(second_is_fault), "call @(a0,14,a1,a2,*",
	  "call *(L8[a0+128],*" },
};
/* clang-format on */

const struct vl_data_round vl_data_bare[VL_DATA_ROUNDS] = {
	{ first, ARRAY_SIZE(first) },
	{ second, ARRAY_SIZE(second) },
	{ third, ARRAY_SIZE(third) },
};
