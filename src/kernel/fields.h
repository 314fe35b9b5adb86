/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of a kernel's structures that vlens reads. */
#ifndef VLENS_KERNEL_FIELDS_H
#define VLENS_KERNEL_FIELDS_H

/*
 * Fields whose offset is needed, one row each: our name, type, path of members. A field that a
 * kernel lacks is VL_NO_FIELD; older and newer names of a field have a row each.
 */
/* clang-format off */
#define VL_FIELDS(F)                                                                              \
	F(SIZE_TASK, "task_struct", "")                                                           \
	F(TASK_PID, "task_struct", "pid")                                                         \
	F(TASK_TGID, "task_struct", "tgid")                                                       \
	F(TASK_COMM, "task_struct", "comm")                                                       \
	F(TASK_TASKS, "task_struct", "tasks")                                                     \
	F(TASK_STACK, "task_struct", "stack")                                                     \
	F(TASK_LEADER, "task_struct", "group_leader")                                             \
	F(TASK_FILES, "task_struct", "files")                                                     \
	F(MM_PGD, "mm_struct", "pgd")                                                             \
	F(TLB_LOADED_MM, "tlb_state", "loaded_mm")                                                \
	F(FILES_COUNT, "files_struct", "count")                                                   \
	F(THREAD_INFO_FLAGS, "task_struct", "thread_info.flags")                                  \
	/* "x86: Put hot per CPU variables into a struct" (6.2); single ones before and since */  \
	F(HOT_TASK, "pcpu_hot", "current_task")                                                   \
	F(HOT_PREEMPT, "pcpu_hot", "preempt_count")                                               \
	/* older kernels have tk_core of a type without name: see time.c */                        \
	F(TK_DATA, "tk_data", "timekeeper")                                                       \
	F(SIZE_TK_SEQ, "seqcount_raw_spinlock", "")                                               \
	F(TK_MONO, "timekeeper", "tkr_mono")                                                      \
	F(TKR_CLOCK, "tk_read_base", "clock")                                                     \
	F(TKR_LAST, "tk_read_base", "cycle_last")                                                 \
	F(TKR_MULT, "tk_read_base", "mult")                                                       \
	F(TKR_SHIFT, "tk_read_base", "shift")                                                     \
	F(TKR_XTIME_NSEC, "tk_read_base", "xtime_nsec")                                           \
	F(TKR_BASE, "tk_read_base", "base")                                                       \
	F(CLOCKSOURCE_READ, "clocksource", "read")                                                \
	F(CLOCKEVENT_NEXT, "clock_event_device", "next_event")                                    \
	F(TICK_EVTDEV, "tick_device", "evtdev")                                                   \
	F(TICK_MODE, "tick_device", "mode")                                                       \
	F(RQ_CLOCK, "rq", "clock")                                                                \
	F(TICK_IDLE_ENTRY, "tick_sched", "idle_entrytime")                                        \
	F(TICK_DEP, "tick_sched", "tick_dep_mask")                                                \
	F(TICK_IDLE_SLEEP, "tick_sched", "idle_sleeptime")                                        \
	F(TICK_IOWAIT_SLEEP, "tick_sched", "iowait_sleeptime")                                    \
	F(MUTEX_OWNER, "mutex", "owner")                                                          \
	F(RWSEM_COUNT, "rw_semaphore", "count")                                                   \
	F(RWSEM_OWNER, "rw_semaphore", "owner")                                                   \
	F(RT_MUTEX_OWNER, "rt_mutex_base", "owner")                                               \
	F(BUG_FLAGS, "bug_entry", "flags")                                                        \
	F(SIZE_BUG, "bug_entry", "")                                                              \
	F(CPU_CAPS, "cpuinfo_x86", "x86_capability")                                              \
	/* what the views show */                                                                 \
	F(TASK_REAL_PARENT, "task_struct", "real_parent")                                         \
	/* "sched: Change task_struct::state" (5.14): an int under a new name */                  \
	F(TASK_STATE, "task_struct", "__state")                                                   \
	F(TASK_STATE_LONG, "task_struct", "state")                                                \
	F(TASK_EXIT_STATE, "task_struct", "exit_state")                                           \
	F(TASK_EXIT_CODE, "task_struct", "exit_code")                                             \
	F(TASK_FLAGS, "task_struct", "flags")                                                     \
	F(TASK_STATIC_PRIO, "task_struct", "static_prio")                                         \
	/* "time: Rename tsk->real_start_time to ->start_boottime" (5.5) */                       \
	F(TASK_START, "task_struct", "start_boottime")                                            \
	F(TASK_REAL_START, "task_struct", "real_start_time")                                      \
	F(TASK_SIGNAL, "task_struct", "signal")                                                   \
	F(TASK_MM, "task_struct", "mm")                                                           \
	F(SIGNAL_THREADS, "signal_struct", "nr_threads")                                          \
	/* what vtop shows */                                                                     \
	F(TASK_PRIO, "task_struct", "prio")                                                       \
	F(TASK_SUM_EXEC, "task_struct", "se.sum_exec_runtime")                                    \
	F(TASK_THREAD_NODE, "task_struct", "thread_node")                                         \
	F(SIGNAL_SUM_SCHED, "signal_struct", "sum_sched_runtime")                                 \
	F(SIGNAL_THREAD_HEAD, "signal_struct", "thread_head")                                     \
	F(MM_TOTAL_VM, "mm_struct", "total_vm")                                                   \
	F(MM_ARG_START, "mm_struct", "arg_start")                                                 \
	F(MM_ARG_END, "mm_struct", "arg_end")                                                     \
	/* "mm: convert mm's rss stats into percpu_counter" (6.2): an array of them */            \
	F(MM_RSS, "mm_struct", "rss_stat")                                                        \
	F(MM_RSS_COUNT, "mm_struct", "rss_stat.count")                                            \
	F(SIZE_PCPU_COUNTER, "percpu_counter", "")                                                \
	F(PCPU_COUNTER_COUNT, "percpu_counter", "count")                                          \
	F(PCPU_COUNTER_CPUS, "percpu_counter", "counters")                                        \
	F(CPUSTAT_TIMES, "kernel_cpustat", "cpustat")                                             \
	F(NODE_ZONES, "pglist_data", "node_zones")                                                \
	F(NODE_NR_ZONES, "pglist_data", "nr_zones")                                               \
	F(SIZE_ZONE, "zone", "")                                                                  \
	F(ZONE_WATERMARK, "zone", "_watermark")                                                   \
	/* of an enum: the value, not an offset */                                                \
	F(WMARK_LOW, "enum zone_watermarks", "WMARK_LOW")                                         \
	F(ZONE_FREE_PAGES, "enum zone_stat_item", "NR_FREE_PAGES")                                \
	F(NODE_INACTIVE_FILE, "enum node_stat_item", "NR_INACTIVE_FILE")                          \
	F(NODE_ACTIVE_FILE, "enum node_stat_item", "NR_ACTIVE_FILE")                              \
	F(NODE_SLAB_RECLAIMABLE, "enum node_stat_item", "NR_SLAB_RECLAIMABLE_B")                  \
	F(NODE_FILE_PAGES, "enum node_stat_item", "NR_FILE_PAGES")                                \
	F(NODE_SHMEM, "enum node_stat_item", "NR_SHMEM")                                          \
	F(NODE_MISC_RECLAIMABLE, "enum node_stat_item", "NR_KERNEL_MISC_RECLAIMABLE")             \
	F(TASK_PID_LINKS, "task_struct", "pid_links")                                             \
	F(TASK_CRED, "task_struct", "cred")                                                       \
	F(TASK_REAL_CRED, "task_struct", "real_cred")                                             \
	F(CRED_UID, "cred", "uid")                                                                \
	F(CRED_EUID, "cred", "euid")                                                              \
	F(CRED_SUID, "cred", "suid")                                                              \
	F(CRED_FSUID, "cred", "fsuid")                                                            \
	F(CRED_GID, "cred", "gid")                                                                \
	F(CRED_EGID, "cred", "egid")                                                              \
	F(CRED_SGID, "cred", "sgid")                                                              \
	F(CRED_FSGID, "cred", "fsgid")                                                            \
	F(CRED_CAPEFF, "cred", "cap_effective")                                                   \
	F(CRED_CAPPRM, "cred", "cap_permitted")                                                   \
	F(CRED_CAPINH, "cred", "cap_inheritable")                                                 \
	F(CRED_CAPBND, "cred", "cap_bset")                                                        \
	F(CRED_CAPAMB, "cred", "cap_ambient")                                                     \
	F(CRED_SECUREBITS, "cred", "securebits")                                                  \
	F(CRED_USER, "cred", "user")                                                              \
	F(USER_UID, "user_struct", "uid")                                                         \
	F(FILE_OPS, "file", "f_op")                                                               \
	F(BPF_LINK_PROG, "bpf_link", "prog")                                                      \
	F(TASK_SECCOMP, "task_struct", "seccomp.filter")                                          \
	F(SECCOMP_PREV, "seccomp_filter", "prev")                                                 \
	F(SECCOMP_PROG, "seccomp_filter", "prog")                                                 \
	F(BPF_FUNC, "bpf_prog", "bpf_func")                                                       \
	F(PIDNS_HEAD, "pid_namespace", "idr.idr_rt.xa_head")                                      \
	F(PID_TASKS, "pid", "tasks")                                                              \
	F(PID_NUMBERS, "pid", "numbers")                                                          \
	F(UPID_NR, "upid", "nr")                                                                  \
	F(XA_SHIFT, "xa_node", "shift")                                                           \
	F(XA_SLOTS, "xa_node", "slots")                                                           \
	F(XA_MARKS, "xa_node", "marks")                                                           \
	F(TK_OFFS_BOOT, "timekeeper", "offs_boot")                                                \
	F(UTS_RELEASE, "uts_namespace", "name.release")                                           \
	F(UTS_NODENAME, "uts_namespace", "name.nodename")                                         \
	F(SIZE_MODULE, "module", "")                                                              \
	F(MOD_LIST, "module", "list")                                                             \
	F(MOD_NAME, "module", "name")                                                             \
	F(MOD_TAINTS, "module", "taints")                                                         \
	F(MOD_STATE, "module", "state")                                                           \
	F(MOD_REFCNT, "module", "refcnt")                                                         \
	F(MOD_INIT, "module", "init")                                                             \
	F(MOD_KOBJ_ENTRY, "module", "mkobj.kobj.entry")                                           \
	F(MOD_KOBJ_KSET, "module", "mkobj.kobj.kset")                                             \
	F(MOD_PERCPU, "module", "percpu")                                                         \
	F(MOD_MKOBJ_MOD, "module", "mkobj.mod")                                                   \
	/* "module: replace module_layout with module_memory" (6.4) */                            \
	F(MOD_CORE_BASE, "module", "core_layout.base")                                            \
	F(MOD_CORE_SIZE, "module", "core_layout.size")                                            \
	F(MOD_CORE_TEXT, "module", "core_layout.text_size")                                       \
	F(MOD_INIT_BASE, "module", "init_layout.base")                                            \
	F(MOD_INIT_SIZE, "module", "init_layout.size")                                            \
	F(MOD_MEM, "module", "mem")                                                               \
	F(SIZE_MODMEM, "module_memory", "")                                                       \
	F(MODMEM_BASE, "module_memory", "base")                                                   \
	F(MODMEM_SIZE, "module_memory", "size")                                                   \
	F(KPROBE_HLIST, "kprobe", "hlist")                                                        \
	F(KPROBE_ADDR, "kprobe", "addr")                                                          \
	F(KSET_LIST, "kset", "list")                                                              \
	F(KOBJ_ENTRY, "kobject", "entry")                                                         \
	F(MKOBJ_KOBJ, "module_kobject", "kobj")                                                   \
	F(MKOBJ_MOD, "module_kobject", "mod")                                                     \
	/* which module uses which */                                                             \
	F(MOD_USERS, "module", "source_list")                                                     \
	F(USE_USERS, "module_use", "source_list")                                                 \
	F(USE_USER, "module_use", "source")                                                       \
	/* open files, and where they are */                                                      \
	F(TASK_FS, "task_struct", "fs")                                                           \
	F(FS_ROOT_DENTRY, "fs_struct", "root.dentry")                                             \
	F(FS_ROOT_MNT, "fs_struct", "root.mnt")                                                   \
	F(FS_PWD_DENTRY, "fs_struct", "pwd.dentry")                                               \
	F(FS_PWD_MNT, "fs_struct", "pwd.mnt")                                                     \
	F(MM_EXE, "mm_struct", "exe_file")                                                        \
	F(FILES_FDT, "files_struct", "fdt")                                                       \
	F(FDT_MAX, "fdtable", "max_fds")                                                          \
	F(FDT_FD, "fdtable", "fd")                                                                \
	F(FILE_DENTRY, "file", "f_path.dentry")                                                   \
	F(FILE_MNT, "file", "f_path.mnt")                                                         \
	F(FILE_INODE, "file", "f_inode")                                                          \
	F(FILE_POS, "file", "f_pos")                                                              \
	F(FILE_FLAGS, "file", "f_flags")                                                          \
	F(FILE_MODE, "file", "f_mode")                                                            \
	F(FILE_PRIVATE, "file", "private_data")                                                   \
	F(DENTRY_PARENT, "dentry", "d_parent")                                                    \
	F(DENTRY_NAME, "dentry", "d_name.name")                                                   \
	F(DENTRY_LEN, "dentry", "d_name.len")                                                     \
	F(DENTRY_HASHED, "dentry", "d_hash.pprev")                                                \
	F(DENTRY_INODE, "dentry", "d_inode")                                                      \
	F(MOUNT_MNT, "mount", "mnt")                                                              \
	F(MOUNT_PARENT, "mount", "mnt_parent")                                                    \
	F(MOUNT_POINT, "mount", "mnt_mountpoint")                                                 \
	F(VFSMOUNT_ROOT, "vfsmount", "mnt_root")                                                  \
	F(INODE_MODE, "inode", "i_mode")                                                          \
	F(INODE_INO, "inode", "i_ino")                                                            \
	F(INODE_SIZE, "inode", "i_size")                                                          \
	F(INODE_LINKS, "inode", "i_nlink")                                                        \
	F(INODE_RDEV, "inode", "i_rdev")                                                          \
	F(INODE_SB, "inode", "i_sb")                                                              \
	F(SB_DEV, "super_block", "s_dev")                                                         \
	F(SB_TYPE, "super_block", "s_type")                                                       \
	F(FSTYPE_NAME, "file_system_type", "name")                                                \
	/* sockets */                                                                             \
	F(ALLOC_SOCKET, "socket_alloc", "socket")                                                 \
	F(ALLOC_INODE, "socket_alloc", "vfs_inode")                                               \
	F(SOCKET_SK, "socket", "sk")                                                              \
	F(SOCK_NODE, "sock", "__sk_common.skc_node")                                              \
	F(SOCK_FAMILY, "sock", "__sk_common.skc_family")                                          \
	F(SOCK_STATE, "sock", "__sk_common.skc_state")                                            \
	F(SOCK_NUM, "sock", "__sk_common.skc_num")                                                \
	F(SOCK_DPORT, "sock", "__sk_common.skc_dport")                                            \
	F(SOCK_RCV_SADDR, "sock", "__sk_common.skc_rcv_saddr")                                    \
	F(SOCK_DADDR, "sock", "__sk_common.skc_daddr")                                            \
	F(SOCK_V6_RCV_SADDR, "sock", "__sk_common.skc_v6_rcv_saddr")                              \
	F(SOCK_V6_DADDR, "sock", "__sk_common.skc_v6_daddr")                                      \
	F(SOCK_NET, "sock", "__sk_common.skc_net.net")                                            \
	F(SOCK_TYPE, "sock", "sk_type")                                                           \
	F(SOCK_PROTOCOL, "sock", "sk_protocol")                                                   \
	F(SOCK_SOCKET, "sock", "sk_socket")                                                       \
	F(SOCK_UID, "sock", "sk_uid")                                                             \
	F(SOCK_RMEM, "sock", "sk_backlog.rmem_alloc")                                             \
	F(SOCK_WMEM, "sock", "sk_wmem_alloc")                                                     \
	F(SOCK_BACKLOG, "sock", "sk_ack_backlog")                                                 \
	F(SOCK_MAX_BACKLOG, "sock", "sk_max_ack_backlog")                                         \
	F(TCP_RCV_NXT, "tcp_sock", "rcv_nxt")                                                     \
	F(TCP_COPIED, "tcp_sock", "copied_seq")                                                   \
	F(TCP_WRITE, "tcp_sock", "write_seq")                                                     \
	F(TCP_UNA, "tcp_sock", "snd_una")                                                         \
	F(UDP_DEFICIT, "udp_sock", "forward_deficit")                                             \
	F(UNIX_ADDR, "unix_sock", "addr")                                                         \
	F(UNIX_PEER, "unix_sock", "peer")                                                         \
	F(UNIX_ADDR_LEN, "unix_address", "len")                                                   \
	F(UNIX_ADDR_NAME, "unix_address", "name")                                                 \
	F(NETLINK_PORT, "netlink_sock", "portid")                                                 \
	F(NET_INUM, "net", "ns.inum")                                                             \
	F(NET_LIST, "net", "list")                                                                \
	/* "af_unix: Put a socket into a per-netns hash table" (6.0) */                           \
	F(NET_UNIX, "net", "unx.table.buckets")                                                   \
	F(SIZE_HLIST_HEAD, "hlist_head", "")                                                      \
	F(INET_EHASH, "inet_hashinfo", "ehash")                                                   \
	F(INET_EHASH_MASK, "inet_hashinfo", "ehash_mask")                                         \
	F(SIZE_EHASH, "inet_ehash_bucket", "")                                                    \
	/* until "net: inet: Retire port only listening_hash" (5.19) */                           \
	F(INET_LISTEN, "inet_hashinfo", "listening_hash")                                         \
	F(INET_LHASH2, "inet_hashinfo", "lhash2")                                                 \
	F(INET_LHASH2_MASK, "inet_hashinfo", "lhash2_mask")                                       \
	F(SIZE_LHASH, "inet_listen_hashbucket", "")                                               \
	F(LHASH_HEAD, "inet_listen_hashbucket", "nulls_head")                                     \
	F(UDP_HASH, "udp_table", "hash")                                                          \
	F(UDP_MASK, "udp_table", "mask")                                                          \
	F(SIZE_UDP_SLOT, "udp_hslot", "")                                                         \
	/* what uname and free show */                                                            \
	F(UTS_SYSNAME, "uts_namespace", "name.sysname")                                           \
	F(UTS_VERSION, "uts_namespace", "name.version")                                           \
	F(UTS_MACHINE, "uts_namespace", "name.machine")                                           \
	F(UTS_DOMAINNAME, "uts_namespace", "name.domainname")                                     \
	F(NODE_SWAPCACHE, "enum node_stat_item", "NR_SWAPCACHE")                                  \
	/* larger states: the kernel shuts down (include/linux/kernel.h) */                       \
	F(SYSTEM_RUNNING, "enum system_states", "SYSTEM_RUNNING")                                 \
	/* what the exporter shows */                                                             \
	F(TK_OFFS_REAL, "timekeeper", "offs_real")                                                \
	F(FDT_OPEN, "fdtable", "open_fds")                                                        \
	F(TASK_CGROUPS, "task_struct", "cgroups")                                                 \
	F(CSS_SET_DFL, "css_set", "dfl_cgrp")                                                     \
	/* css_set.refcount is behind the array subsys, and shows its length */                   \
	F(CSS_SET_SUBSYS, "css_set", "subsys")                                                    \
	F(CSS_SET_REFCOUNT, "css_set", "refcount")                                                \
	F(CSS_CGROUP, "cgroup_subsys_state", "cgroup")                                            \
	F(CGROUP_ROOT, "cgroup", "root")                                                          \
	F(CGROUP_KN, "cgroup", "kn")                                                              \
	F(KN_NAME, "kernfs_node", "name")                                                         \
	/* "kernfs: Use RCU to access kernfs_node::parent" (6.15): under a new name */            \
	F(KN_PARENT, "kernfs_node", "parent")                                                     \
	F(KN_PARENT_RCU, "kernfs_node", "__parent")                                               \
	/* what containers have */                                                                \
	F(TASK_NSPROXY, "task_struct", "nsproxy")                                                 \
	F(NSPROXY_UTS, "nsproxy", "uts_ns")                                                       \
	F(NSPROXY_NET, "nsproxy", "net_ns")                                                       \
	F(NSPROXY_MNT, "nsproxy", "mnt_ns")                                                       \
	F(MNT_INUM, "mnt_namespace", "ns.inum")                                                   \
	F(PSI_TOTAL, "psi_group", "total")                                                        \
	F(PSI_CPU_SOME, "enum psi_states", "PSI_CPU_SOME")                                        \
	F(PSI_IO_SOME, "enum psi_states", "PSI_IO_SOME")                                          \
	F(PSI_IO_FULL, "enum psi_states", "PSI_IO_FULL")                                          \
	F(PSI_MEM_SOME, "enum psi_states", "PSI_MEM_SOME")                                        \
	F(PSI_MEM_FULL, "enum psi_states", "PSI_MEM_FULL")                                        \
	F(PSI_IRQ_FULL, "enum psi_states", "PSI_IRQ_FULL")                                        \
	F(NET_IP_MIB, "net", "mib.ip_statistics")                                                 \
	/* what vcheck looks at */                                                                \
	F(FTRACE_FUNC, "ftrace_ops", "func")                                                      \
	F(FTRACE_NEXT, "ftrace_ops", "next")                                                      \
	F(FTRACE_TRAMPOLINE, "ftrace_ops", "trampoline")                                          \
	F(FTRACE_TRAMPOLINE_SIZE, "ftrace_ops", "trampoline_size")                                \
	F(KPROBE_PRE, "kprobe", "pre_handler")                                                    \
	F(KPROBE_POST, "kprobe", "post_handler")                                                  \
	F(KPROBE_CACHE_PAGES, "kprobe_insn_cache", "pages")                                       \
	F(KPROBE_PAGE_LIST, "kprobe_insn_page", "list")                                           \
	F(KPROBE_PAGE_INSNS, "kprobe_insn_page", "insns")                                         \
	F(UPROBE_NODE, "uprobe", "rb_node")                                                       \
	F(UPROBE_OFFSET, "uprobe", "offset")                                                      \
	F(RB_LEFT, "rb_node", "rb_left")                                                          \
	F(RB_RIGHT, "rb_node", "rb_right")                                                        \
	F(KLP_LIST, "klp_patch", "list")                                                          \
	F(KLP_MOD, "klp_patch", "mod")                                                            \
	F(REAL_MODE_END, "real_mode_header", "ro_end")                                            \
	F(KIMAGE_CONTROL, "kimage", "control_code_page")                                          \
	F(SIZE_PAGE, "page", "")                                                                  \
	F(BPF_KSYM_NODE, "bpf_ksym", "lnode")                                                     \
	F(BPF_KSYM_START, "bpf_ksym", "start")                                                    \
	F(BPF_KSYM_END, "bpf_ksym", "end")                                                        \
	F(BPF_KSYM_NAME, "bpf_ksym", "name")                                                      \
	F(BPF_KSYM_PROG, "bpf_ksym", "prog")                                                      \
	F(BPF_AUX_PARTS, "bpf_prog_aux", "func")                                                  \
	F(BPF_AUX_NR_PARTS, "bpf_prog_aux", "func_cnt")                                           \
	F(IDR_HEAD, "idr", "idr_rt.xa_head")                                                      \
	F(BPF_LEN, "bpf_prog", "len")                                                             \
	F(BPF_TYPE, "bpf_prog", "type")                                                           \
	F(BPF_AUX, "bpf_prog", "aux")                                                             \
	F(BPF_INSNS, "bpf_prog", "insnsi")                                                        \
	F(BPF_AUX_ID, "bpf_prog_aux", "id")                                                       \
	F(BPF_AUX_NAME, "bpf_prog_aux", "name")                                                   \
	/* "kthread: Generalize pf_io_worker so it can point to struct kthread" (5.17) */         \
	F(TASK_WORKER_PRIVATE, "task_struct", "worker_private")                                   \
	F(TASK_SET_CHILD_TID, "task_struct", "set_child_tid")                                     \
	F(KTHREAD_FN, "kthread", "threadfn")                                                      \
	F(FTRACE_LIST, "ftrace_ops", "list")                                                      \
	F(TASK_CG_LIST, "task_struct", "cg_list")                                                 \
	F(CSS_SET_HLIST, "css_set", "hlist")                                                      \
	F(CSS_SET_TASKS, "css_set", "tasks")                                                      \
	F(CSS_SET_MG_TASKS, "css_set", "mg_tasks")                                                \
	F(CSS_SET_DYING, "css_set", "dying_tasks")                                                \
	/* functions that others register, and tables of functions */                             \
	F(NOTIFIER_CALL, "notifier_block", "notifier_call")                                       \
	F(NOTIFIER_NEXT, "notifier_block", "next")                                                \
	F(ATOMIC_HEAD, "atomic_notifier_head", "head")                                            \
	F(BLOCKING_HEAD, "blocking_notifier_head", "head")                                        \
	F(RAW_HEAD, "raw_notifier_head", "head")                                                  \
	F(BINFMT_LIST, "linux_binfmt", "lh")                                                      \
	F(BINFMT_LOAD, "linux_binfmt", "load_binary")                                             \
	F(BINFMT_CORE, "linux_binfmt", "core_dump")                                               \
	F(INPUT_NODE, "input_handler", "node")                                                    \
	F(INPUT_EVENT, "input_handler", "event")                                                  \
	F(INPUT_EVENTS, "input_handler", "events")                                                \
	F(INPUT_FILTER, "input_handler", "filter")                                                \
	F(INPUT_CONNECT, "input_handler", "connect")                                              \
	F(PTYPE_LIST, "packet_type", "list")                                                      \
	F(PTYPE_FUNC, "packet_type", "func")                                                      \
	F(INET_PROTO_HANDLER, "net_protocol", "handler")                                          \
	F(INET6_PROTO_HANDLER, "inet6_protocol", "handler")                                       \
	F(FAMILY_CREATE, "net_proto_family", "create")                                            \
	F(PROTO_NODE, "proto", "node")                                                            \
	F(SIZE_PROTO, "proto", "")                                                                \
	F(NET_NF_IPV4, "net", "nf.hooks_ipv4")                                                    \
	F(NET_NF_IPV6, "net", "nf.hooks_ipv6")                                                    \
	F(NET_NF_ARP, "net", "nf.hooks_arp")                                                      \
	F(NET_NF_BRIDGE, "net", "nf.hooks_bridge")                                                \
	F(NET_DEVICES, "net", "dev_base_head")                                                    \
	F(NF_NUM, "nf_hook_entries", "num_hook_entries")                                          \
	F(NF_HOOKS, "nf_hook_entries", "hooks")                                                   \
	F(SIZE_NF_HOOK, "nf_hook_entry", "")                                                      \
	F(NETDEV_LIST, "net_device", "dev_list")                                                  \
	F(NETDEV_INGRESS, "net_device", "nf_hooks_ingress")                                       \
	F(NETDEV_EGRESS, "net_device", "nf_hooks_egress")                                         \
	F(NETDEV_RX, "net_device", "rx_handler")                                                  \
	F(NETDEV_OPS, "net_device", "netdev_ops")                                                 \
	F(NETDEV_NAME, "net_device", "name")                                                      \
	F(SIZE_NETDEV_OPS, "net_device_ops", "")                                                  \
	F(TTYDRV_LIST, "tty_driver", "tty_drivers")                                               \
	F(TTYDRV_OPS, "tty_driver", "ops")                                                        \
	F(TTYDRV_TTYS, "tty_driver", "ttys")                                                      \
	F(TTYDRV_NUM, "tty_driver", "num")                                                        \
	F(TTYDRV_NAME, "tty_driver", "name")                                                      \
	F(TTY_LDISC, "tty_struct", "ldisc")                                                       \
	F(TTY_OPS, "tty_struct", "ops")                                                           \
	F(TTY_NAME, "tty_struct", "name")                                                         \
	F(LDISC_OPS, "tty_ldisc", "ops")                                                          \
	F(SIZE_LDISC_OPS, "tty_ldisc_ops", "")                                                    \
	F(SIZE_TTY_OPS, "tty_operations", "")                                                     \
	F(SB_LIST, "super_block", "s_list")                                                       \
	F(SB_OP, "super_block", "s_op")                                                           \
	F(SB_ROOT, "super_block", "s_root")                                                       \
	F(SIZE_SB_OPS, "super_operations", "")                                                    \
	F(INODE_OP, "inode", "i_op")                                                              \
	F(INODE_FOP, "inode", "i_fop")                                                            \
	F(SIZE_INODE_OPS, "inode_operations", "")                                                 \
	F(SIZE_FILE_OPS, "file_operations", "")                                                   \
	F(PDE_SUBDIR, "proc_dir_entry", "subdir")                                                 \
	F(PDE_NODE, "proc_dir_entry", "subdir_node")                                              \
	F(PDE_OPS, "proc_dir_entry", "proc_ops")                                                  \
	F(PDE_IOPS, "proc_dir_entry", "proc_iops")                                                \
	F(PDE_SEQ, "proc_dir_entry", "seq_ops")                                                   \
	F(PDE_NAME, "proc_dir_entry", "name")                                                     \
	F(SIZE_PROC_OPS, "proc_ops", "")                                                          \
	F(SIZE_SEQ_OPS, "seq_operations", "")                                                     \
	F(SIZE_TIMER_BASE, "timer_base", "")                                                      \
	F(TIMER_VECTORS, "timer_base", "vectors")                                                 \
	F(TIMER_ENTRY, "timer_list", "entry")                                                     \
	F(TIMER_FUNCTION, "timer_list", "function")                                               \
	F(DWORK_TIMER, "delayed_work", "timer")                                                   \
	F(DWORK_FUNC, "delayed_work", "work.func")                                                \
	F(HRTIMER_CLOCKS, "hrtimer_cpu_base", "clock_base")                                       \
	F(SIZE_HRTIMER_CLOCK, "hrtimer_clock_base", "")                                           \
	F(HRTIMER_ACTIVE, "hrtimer_clock_base", "active.rb_root.rb_root.rb_node")                 \
	F(HRTIMER_NODE, "hrtimer", "node.node")                                                   \
	F(HRTIMER_FUNCTION, "hrtimer", "function")                                                \
	F(POOL_WORKLIST, "worker_pool", "worklist")                                               \
	F(POOL_WORKERS, "worker_pool", "workers")                                                 \
	F(WORK_ENTRY, "work_struct", "entry")                                                     \
	F(WORK_FUNC, "work_struct", "func")                                                       \
	F(WORKER_NODE, "worker", "node")                                                          \
	F(WORKER_FUNC, "worker", "current_func")                                                  \
	F(SIZE_LSM_HEADS, "security_hook_heads", "")                                              \
	F(LSM_LIST, "security_hook_list", "list")                                                 \
	F(LSM_HOOK, "security_hook_list", "hook")                                                 \
	/* "lsm: replace indirect LSM hook calls with static calls" (6.12) */                     \
	F(SIZE_LSM_CALLS, "lsm_static_calls_table", "")                                           \
	F(SIZE_LSM_CALL, "lsm_static_call", "")                                                   \
	F(LSM_CALL_KEY, "lsm_static_call", "key")                                                 \
	F(LSM_CALL_LIST, "lsm_static_call", "hl")                                                 \
	F(STATIC_CALL_FUNC, "static_call_key", "func")                                            \
	F(TP_NAME, "tracepoint", "name")                                                          \
	F(TP_FUNCS, "tracepoint", "funcs")                                                        \
	F(SIZE_TP_FUNC, "tracepoint_func", "")                                                    \
	/* where the scheduler and the allocator have tasks */                                    \
	/* "mm: Split slab into its own type" (5.17) */                                           \
	F(SLAB_CACHE, "slab", "slab_cache")                                                       \
	F(PAGE_CACHE, "page", "slab_cache")                                                       \
	F(CACHE_SIZE, "kmem_cache", "size")                                                       \
	F(CACHE_ORDER, "kmem_cache", "oo.x")                                                      \
	F(CACHE_LEFT_PAD, "kmem_cache", "red_left_pad")                                           \
	F(TASK_SP, "task_struct", "thread.sp")                                                    \
	F(TASK_CHILDREN, "task_struct", "children")                                               \
	F(TASK_SIBLING, "task_struct", "sibling")                                                 \
	F(TASK_SE, "task_struct", "se")                                                           \
	F(TASK_RT, "task_struct", "rt")                                                           \
	F(TASK_DL, "task_struct", "dl")                                                           \
	F(SIZE_RQ, "rq", "")                                                                      \
	F(RQ_CURR, "rq", "curr")                                                                  \
	F(RQ_IDLE, "rq", "idle")                                                                  \
	F(RQ_CFS, "rq", "cfs")                                                                    \
	F(RQ_RT, "rq", "rt")                                                                      \
	F(RQ_DL, "rq", "dl.root.rb_root.rb_node")                                                 \
	F(CFS_CURR, "cfs_rq", "curr")                                                             \
	F(CFS_TREE, "cfs_rq", "tasks_timeline.rb_root.rb_node")                                   \
	F(SE_NODE, "sched_entity", "run_node")                                                    \
	F(SE_GROUP, "sched_entity", "my_q")                                                       \
	F(RT_QUEUE, "rt_rq", "active.queue")                                                      \
	F(RT_NODE, "sched_rt_entity", "run_list")                                                 \
	F(RT_GROUP, "sched_rt_entity", "my_q")                                                    \
	F(DL_NODE, "sched_dl_entity", "rb_node")                                                  \
	/* objects in use, and their tables of functions */                                       \
	F(CRED_GROUPS, "cred", "group_info")                                                      \
	F(SB_INODES, "super_block", "s_inodes")                                                   \
	F(INODE_SB_NODE, "inode", "i_sb_list")                                                    \
	F(INODE_MAPPING, "inode", "i_mapping")                                                    \
	F(INODE_DENTRY, "inode", "i_dentry.first")                                                \
	F(MAPPING_OPS, "address_space", "a_ops")                                                  \
	F(SIZE_MAPPING_OPS, "address_space_operations", "")                                       \
	F(DENTRY_OPS, "dentry", "d_op")                                                           \
	F(DENTRY_ALIAS, "dentry", "d_u.d_alias")                                                  \
	F(SIZE_DENTRY_OPS, "dentry_operations", "")                                               \
	F(SOCKET_OPS, "socket", "ops")                                                            \
	F(SIZE_PROTO_OPS, "proto_ops", "")                                                        \
	F(SOCK_PROT, "sock", "__sk_common.skc_prot")                                              \
	F(SOCK_READY, "sock", "sk_data_ready")                                                    \
	F(SOCK_SPACE, "sock", "sk_write_space")                                                   \
	F(SOCK_CHANGE, "sock", "sk_state_change")                                                 \
	F(SOCK_DESTRUCT, "sock", "sk_destruct")                                                   \
	F(KPROBE_LIST, "kprobe", "list")                                                          \
	F(KPROBE_AINSN, "kprobe", "ainsn.insn")                                                   \
	F(KRETPROBE_HANDLER, "kretprobe", "handler")                                              \
	F(KRETPROBE_ENTRY, "kretprobe", "entry_handler")                                          \
	F(CRED_NS, "cred", "user_ns")                                                             \
	F(MM_FLAGS, "mm_struct", "flags")                                                         \
	F(TASK_EXEC_STATE, "task_struct", "exec_state")                                          \
	F(EXEC_DUMPABLE, "task_exec_state", "dumpable")                                          \
	F(TASK_LOGINUID, "task_struct", "loginuid")                                               \
	F(TASK_SELF_EXEC, "task_struct", "self_exec_id")                                          \
	F(TASK_PARENT_EXEC, "task_struct", "parent_exec_id")                                      \
	F(GROUPS_NR, "group_info", "ngroups")                                                     \
	/* lists of structures with functions */                                                  \
	F(SHRINKER_LIST, "shrinker", "list")                                                      \
	F(SHRINKER_COUNT, "shrinker", "count_objects")                                            \
	F(SHRINKER_SCAN, "shrinker", "scan_objects")                                              \
	F(FSTYPE_NEXT, "file_system_type", "next")                                                \
	F(FSTYPE_CONTEXT, "file_system_type", "init_fs_context")                                  \
	F(FSTYPE_MOUNT, "file_system_type", "mount")                                              \
	F(FSTYPE_KILL, "file_system_type", "kill_sb")                                             \
	F(KEY_TYPE_LINK, "key_type", "link")                                                      \
	F(KEY_TYPE_MAKE, "key_type", "instantiate")                                               \
	F(KEY_TYPE_MATCH, "key_type", "match_preparse")                                           \
	F(KEY_TYPE_READ, "key_type", "read")                                                      \
	F(KEY_TYPE_REQUEST, "key_type", "request_key")                                            \
	F(KMSG_LIST, "kmsg_dumper", "list")                                                       \
	F(KMSG_DUMP, "kmsg_dumper", "dump")                                                       \
	F(SOCKOPT_LIST, "nf_sockopt_ops", "list")                                                 \
	F(SOCKOPT_SET, "nf_sockopt_ops", "set")                                                   \
	F(SOCKOPT_GET, "nf_sockopt_ops", "get")                                                   \
	F(PERNET_LIST, "pernet_operations", "list")                                               \
	F(PERNET_INIT, "pernet_operations", "init")                                               \
	F(PERNET_EXIT, "pernet_operations", "exit")                                               \
	F(PMU_ENTRY, "pmu", "entry")                                                              \
	F(PMU_INIT, "pmu", "event_init")                                                          \
	F(PMU_ADD, "pmu", "add")                                                                  \
	F(PMU_READ, "pmu", "read")                                                                \
	F(SYSCORE_NODE, "syscore_ops", "node")                                                    \
	F(SYSCORE_SUSPEND, "syscore_ops", "suspend")                                              \
	F(SYSCORE_RESUME, "syscore_ops", "resume")                                                \
	F(SYSCORE_SHUTDOWN, "syscore_ops", "shutdown")                                            \
	F(CLOCKSOURCE_LIST, "clocksource", "list")                                                \
	F(LINK_OPS_LIST, "rtnl_link_ops", "list")                                                 \
	F(LINK_OPS_SETUP, "rtnl_link_ops", "setup")                                               \
	F(LINK_OPS_NEW, "rtnl_link_ops", "newlink")                                               \
	F(LINK_OPS_FILL, "rtnl_link_ops", "fill_info")                                            \
	/* "printk: Convert console_drivers list to hlist" (6.2) */                               \
	F(CONSOLE_NODE, "console", "node")                                                        \
	F(CONSOLE_NEXT, "console", "next")                                                        \
	F(CONSOLE_WRITE, "console", "write")                                                      \
	/* changes of its text that the kernel is making; smp_ since 6.16 */                      \
	F(POKE_VEC, "bp_patching_desc", "vec")                                                    \
	F(POKE_NR, "bp_patching_desc", "nr_entries")                                              \
	F(POKE_REFS, "bp_patching_desc", "refs")                                                  \
	F(POKE_REL, "text_poke_loc", "rel_addr")                                                  \
	F(POKE_OPCODE, "text_poke_loc", "opcode")                                                 \
	/* rel32 has been disp since kernels emulate other jumps here, too */                     \
	F(POKE_DISP, "text_poke_loc", "disp")                                                     \
	F(POKE_REL32, "text_poke_loc", "rel32")                                                   \
	F(SIZE_POKE, "text_poke_loc", "")                                                         \
	F(POKE_ARRAY_VEC, "smp_text_poke_array", "vec")                                           \
	F(POKE_ARRAY_NR, "smp_text_poke_array", "nr_entries")                                     \
	F(SMP_POKE_REL, "smp_text_poke_loc", "rel_addr")                                          \
	F(SMP_POKE_OPCODE, "smp_text_poke_loc", "opcode")                                         \
	F(SMP_POKE_DISP, "smp_text_poke_loc", "disp")                                             \
	F(SIZE_SMP_POKE, "smp_text_poke_loc", "")                                                 \
	F(BPF_JITED_LEN, "bpf_prog", "jited_len")                                                 \
	F(BPF_AUX_PROG, "bpf_prog_aux", "prog")                                                   \
	/* the log, and the interfaces */                                                         \
	F(PRB_BITS, "printk_ringbuffer", "desc_ring.count_bits")                                  \
	F(PRB_DESCS, "printk_ringbuffer", "desc_ring.descs")                                      \
	F(PRB_INFOS, "printk_ringbuffer", "desc_ring.infos")                                      \
	F(PRB_HEAD, "printk_ringbuffer", "desc_ring.head_id")                                     \
	F(PRB_TAIL, "printk_ringbuffer", "desc_ring.tail_id")                                     \
	F(PRB_TEXT_BITS, "printk_ringbuffer", "text_data_ring.size_bits")                         \
	F(PRB_DATA, "printk_ringbuffer", "text_data_ring.data")                                   \
	F(SIZE_PRB_DESC, "prb_desc", "")                                                          \
	F(PRB_DESC_STATE, "prb_desc", "state_var")                                                \
	F(PRB_DESC_BEGIN, "prb_desc", "text_blk_lpos.begin")                                      \
	F(PRB_DESC_NEXT, "prb_desc", "text_blk_lpos.next")                                        \
	F(SIZE_PRINTK_INFO, "printk_info", "")                                                    \
	F(INFO_SEQ, "printk_info", "seq")                                                         \
	F(INFO_TIME, "printk_info", "ts_nsec")                                                    \
	F(INFO_LEN, "printk_info", "text_len")                                                    \
	F(INFO_FACILITY, "printk_info", "facility")                                               \
	F(INFO_CALLER, "printk_info", "caller_id")                                                \
	F(INFO_SUBSYSTEM, "printk_info", "dev_info.subsystem")                                    \
	F(INFO_DEVICE, "printk_info", "dev_info.device")                                          \
	F(NETDEV_INDEX, "net_device", "ifindex")                                                  \
	F(NETDEV_MTU, "net_device", "mtu")                                                        \
	F(NETDEV_FLAGS, "net_device", "flags")                                                    \
	F(NETDEV_STATE, "net_device", "state")                                                    \
	F(NETDEV_OPERSTATE, "net_device", "operstate")                                            \
	F(NETDEV_TYPE, "net_device", "type")                                                      \
	F(NETDEV_ADDR, "net_device", "dev_addr")                                                  \
	F(NETDEV_ADDR_LEN, "net_device", "addr_len")                                              \
	F(NETDEV_IN, "net_device", "ip_ptr")                                                      \
	F(NETDEV_IN6, "net_device", "ip6_ptr")                                                    \
	F(IN_ADDRESSES, "in_device", "ifa_list")                                                  \
	F(IFA_NEXT, "in_ifaddr", "ifa_next")                                                      \
	F(IFA_LOCAL, "in_ifaddr", "ifa_local")                                                    \
	F(IFA_PREFIX, "in_ifaddr", "ifa_prefixlen")                                               \
	F(IN6_ADDRESSES, "inet6_dev", "addr_list")                                                \
	F(IF6_NODE, "inet6_ifaddr", "if_list")                                                    \
	F(IF6_ADDRESS, "inet6_ifaddr", "addr")                                                    \
	F(IF6_PREFIX, "inet6_ifaddr", "prefix_len")
/* clang-format on */

enum vl_field {
#define VL_FIELD_ID(id, type, path) VL_F_##id,
	VL_FIELDS(VL_FIELD_ID)
#undef VL_FIELD_ID
		VL_NR_FIELDS
};

#define VL_NO_FIELD (-1)

#endif
