/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Witnesses (derive.h): memory. */
#ifndef VLENS_KERNEL_WITNESS_MM_H
#define VLENS_KERNEL_WITNESS_MM_H

#include "derive.h"

/* clang-format off */
static const struct vl_witness vl_witness_mm[] = {
	{ VL_F_TLB_LOADED_MM, "__get_current_cr3_fast", "L8[%cpu_tlbstate#]" },
	{ VL_F_MM_RSS, "__mmdrop", "call __percpu_counter_sum(a0#,*)" },
	{ VL_F_MM_RSS_COUNT, "__mmdrop", "test L8[a0<MM_RSS>],L8[a0#]" },
	{ VL_F_PCPU_COUNTER_COUNT, "__percpu_counter_compare", "L8[a0#]" },
	{ VL_F_PCPU_COUNTER_CPUS, "__percpu_counter_init_many", "S8[a0#]=0" },
	{ VL_F_PCPU_COUNTER_CPUS, "__percpu_counter_limited_add", "L4[(L8[(_find_next_or_bit()*8)+&__per_cpu_offset]+L8[a0#])]" },
	{ VL_F_PCPU_COUNTER_COUNT, "__percpu_counter_sum", "ret L8[a0#]" },
	{ VL_F_RB_RIGHT, "__rb_erase_color", "L1[L8[a0#]]" },
	{ VL_F_NODE_ZONES, "__setup_per_zone_wmarks", "S8[first_online_pgdat()#]=?" },
	{ VL_F_UPROBE_NODE, "__uprobe_unregister", "S8[a0#]=a0" },
	{ VL_F_MM_TOTAL_VM, "__vm_enough_memory", "L8[a0#]" },
	{ VL_F_CPUSTAT_TIMES, "account_guest_time", "S8[%kernel_cpustat]=(L8[%kernel_cpustat#]+a1)" },
	{ VL_F_NODE_ZONES, "allow_direct_reclaim", "cmp ((L8[a0*]+L8[a0#])>>1),0" },
	{ VL_F_TLB_LOADED_MM, "cr4_update_pce", "L8[%cpu_tlbstate#]" },
	{ VL_F_TLB_LOADED_MM, "drop_mm_ref_this_cpu", "L8[%cpu_tlbstate#]" },
	{ VL_F_RB_LEFT, "elv_rb_find", "ret L8[L8[a0]#]" },
	{ VL_F_TLB_LOADED_MM, "flush_ldt", "L8[%cpu_tlbstate#]" },
	{ VL_F_PCPU_COUNTER_COUNT, "fprop_fraction_percpu", "L8[a1#]" },
	{ VL_F_MM_ARG_END, "get_cmdline", "cmp L8[get_task_mm()#],0" },
	{ VL_F_MM_ARG_START, "get_cmdline", "cmp (L8[get_task_mm()*]-L8[get_task_mm()#]),a2" },
	{ VL_F_MM_EXE, "get_mm_exe_file", "call get_file_rcu(a0#,*)" },
	{ VL_F_MM_EXE, "get_task_exe_file", "call get_file_rcu(L8[a0*]#,*)" },
	{ VL_F_MM_PGD, "huge_pte_alloc", "L8[a0#]" },
	{ VL_F_MM_PGD, "huge_pte_offset", "L8[a0#]" },
	{ VL_F_NODE_NR_ZONES, "init_currently_empty_zone", "S4[L8[a0*]#]=(((a0-L8[a0*])>>9)*-1431655765)*" },
	{ VL_F_UPROBE_OFFSET, "install_breakpoint", "cmp L8[L8[a0*]*],L8[a0#]" },
	{ VL_F_RB_RIGHT, "interval_tree_remove", "L1[L8[a0#]]" },
	{ VL_F_MM_PGD, "mm_alloc_pmd", "L8[a0#]" },
	{ VL_F_MM_PGD, "mm_find_pmd", "L8[a0#]" },
	{ VL_F_MM_RSS, "mm_init", "S8[a0#]=?" },
	{ VL_F_NODE_NR_ZONES, "numamigrate_isolate_page", "L4[a0#]" },
	{ VL_F_PCPU_COUNTER_CPUS, "percpu_counter_destroy_many", "cmp L8[a0#],0" },
	{ VL_F_PCPU_COUNTER_COUNT, "percpu_counter_set", "S8[a0#]=a1" },
	{ VL_F_PCPU_COUNTER_CPUS, "percpu_counter_set", "L8[a0#]" },
	{ VL_F_MM_TOTAL_VM, "perf_trace_vm_unmapped_area", "L8[L8[cur*]#]" },
	{ VL_F_MM_ARG_END, "proc_pid_cmdline_read", "cmp L8[get_task_mm()<MM_ARG_START>],L8[get_task_mm()#]" },
	{ VL_F_MM_ARG_START, "proc_pid_cmdline_read", "cmp ((L8[get_task_mm()*]-L8[get_task_mm()#])-L8[a3]),a2" },
	{ VL_F_UPROBE_NODE, "put_uprobe", "L8[a0#]" },
	{ VL_F_RB_RIGHT, "rb_erase", "L1[L8[a0#]]" },
	{ VL_F_RB_LEFT, "rb_next", "L8[L8[a0*]#]" },
	{ VL_F_RB_RIGHT, "rb_next", "ret L8[a0#]" },
	{ VL_F_RB_LEFT, "rb_prev", "ret L8[a0#]" },
	{ VL_F_NODE_ZONES, "refresh_zone_stat_thresholds", "cmp (L8[first_online_pgdat()*]-L8[first_online_pgdat()#]),?" },
	{ VL_F_UPROBE_OFFSET, "register_for_each_vma", "cmp L8[a0#],((L8[find_vma()*]<<12)+(L8[4]-L8[find_vma()]))" },
	{ VL_F_MM_EXE, "replace_mm_exe_file", "S8[a0#]=a1" },
	{ VL_F_MM_EXE, "set_mm_exe_file", "L8[a0#]" },
	{ VL_F_NODE_NR_ZONES, "set_pgdat_percpu_threshold", "L4[a0#]" },
	{ VL_F_NODE_ZONES, "setup_per_zone_wmarks", "S8[first_online_pgdat()#]=32" },
	{ VL_F_MM_RSS, "sync_mm_rss", "L8[a0#]" },
	{ VL_F_MM_RSS_COUNT, "sync_mm_rss", "L8[a0#]" },
	{ VL_F_MM_RSS_COUNT, "task_mem", "test L8[a1<MM_RSS>],L8[a1#]" },
	{ VL_F_MM_RSS_COUNT, "task_statm", "test L8[a0<MM_RSS>],L8[a0#]" },
	{ VL_F_MM_TOTAL_VM, "task_statm", "ret L8[a0#]" },
	{ VL_F_MM_TOTAL_VM, "task_vsize", "L8[a0#]" },
	{ VL_F_RB_LEFT, "tcp_rbtree_insert", "S8[L8[a0]#]=a1" },
	{ VL_F_MM_RSS, "zap_huge_pud", "call percpu_counter_add_batch(L8[a0]#,*)" },
};
/* clang-format on */

#endif
