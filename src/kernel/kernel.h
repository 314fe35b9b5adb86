/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's kernel: its symbols and the layout of some types, from its own tables (kallsyms,
 * BTF). It is kept on disk for the next first contact with any guest that has the same tables.
 */
#ifndef VLENS_KERNEL_H
#define VLENS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../mem/paging.h"
#include "../host/kept.h"
#include "kallsyms.h"

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
	F(RQ_CLOCK, "rq", "clock")                                                                \
	F(TICK_IDLE_ENTRY, "tick_sched", "idle_entrytime")                                        \
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
	F(MOD_STATE, "module", "state")                                                           \
	F(MOD_REFCNT, "module", "refcnt")                                                         \
	F(MOD_INIT, "module", "init")                                                             \
	F(MOD_KOBJ_ENTRY, "module", "mkobj.kobj.entry")                                           \
	F(MOD_KOBJ_KSET, "module", "mkobj.kobj.kset")                                             \
	F(MOD_MKOBJ_MOD, "module", "mkobj.mod")                                                   \
	/* "module: replace module_layout with module_memory" (6.4) */                            \
	F(MOD_CORE_BASE, "module", "core_layout.base")                                            \
	F(MOD_CORE_SIZE, "module", "core_layout.size")                                            \
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
	F(BPF_KSYM_NODE, "bpf_ksym", "lnode")                                                     \
	F(BPF_KSYM_START, "bpf_ksym", "start")                                                    \
	F(BPF_KSYM_END, "bpf_ksym", "end")                                                        \
	F(BPF_KSYM_NAME, "bpf_ksym", "name")                                                      \
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
	F(CSS_SET_DYING, "css_set", "dying_tasks")
/* clang-format on */

enum vl_field {
#define VL_FIELD_ID(id, type, path) VL_F_##id,
	VL_FIELDS(VL_FIELD_ID)
#undef VL_FIELD_ID
		VL_NR_FIELDS
};

#define VL_NO_FIELD (-1)

struct vl_kernel;

/* Offsets of fields, in bytes from the start of their type. */
struct vl_layout {
	int32_t offset[VL_NR_FIELDS]; /* SIZE_*: the size of the type */
};

/*
 * Find every field in @btf (the kernel's own, @len bytes). VL_ERR_KERNEL: it cannot be read or
 * lacks task_struct; VL_ERR_FAULT: @deadline has passed.
 */
struct vl_error *vl_layout_from_btf(const void *btf, size_t len, struct vl_deadline deadline,
				    struct vl_layout *ret);

/*
 * Make a kernel from its symbols and its types. The result depends on these two only, and so
 * does the key that it is kept under: see vl_kernel_key().
 */
struct vl_error *vl_kernel_create(const struct vl_symbols *from, const struct vl_layout *layout,
				  struct vl_kernel **ret);
void vl_kernel_destroy(struct vl_kernel *k);

/* Longest BTF that is accepted; kernels have up to 7 MiB. */
#define VL_BTF_MAX (32U << 20)

/*
 * The key of a kernel in the cache: a hash, in hexadecimal, of all bytes of the guest's memory
 * that vl_kernel_create() uses. So forged tables are found only by a guest that has the same.
 */
void vl_kernel_key(const struct vl_kallsyms_tables *symbols, const void *btf, size_t btf_len,
		   char ret[VL_KEY_MAX + 1]);

/* Where the tables that a kernel is made of lie in its guest. */
struct vl_kernel_source {
	struct vl_pgtable pt;
	enum vl_kallsyms_form form;
	uint32_t nr;
	struct vl_kernel_part {
		uint64_t va, len;
	} names, tokens, offsets, btf;
};

/*
 * The kernel of the tables at @src, placed at @base: from the cache, else made and cached. The
 * same bytes are hashed and used, by a process in a box that has seen nothing else (maker.c).
 * So forged tables lie under a key of their own, even if they take that process over.
 * *@made_ret: it was not in the cache.
 */
struct vl_error *vl_kernel_get(struct vl_target *t, const struct vl_kernel_source *src,
			       uint64_t base, struct vl_deadline deadline,
			       char key_ret[VL_KEY_MAX + 1], bool *made_ret,
			       struct vl_kernel **ret);

/* The same in a process with rights; gives an open file. @src is untrusted: a worker's word. */
struct vl_error *vl_kernel_provide(struct vl_target *t, const struct vl_kernel_source *src,
				   struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				   bool *made_ret, int *fd_ret, size_t *size_ret);

/* The content of a kernel's file in the cache, *@len_ret bytes, owned by @k. */
const void *vl_kernel_bytes(const struct vl_kernel *k, size_t *len_ret);
/* Map a kernel from a file of @size bytes; takes over @fd. *@ret is NULL if it is damaged. */
void vl_kernel_map(int fd, size_t size, uint64_t base, struct vl_kernel **ret);
/*
 * Load a kernel from the cache by @key. *@ret is NULL if it is not there or damaged. @base
 * places the kernel (struct vl_kallsyms). @t is the target that runs it, in a worker too
 * (host/kept.h).
 */
void vl_kernel_load(struct vl_target *t, const char *key, uint64_t base, struct vl_kernel **ret);

/* The guest's BTF, which is kept beside it for types that VL_FIELDS lacks; malloc'ed. */
struct vl_error *vl_kernel_load_btf(struct vl_target *t, const char *key, void **ret,
				    size_t *len_ret);

/*
 * The address of symbol @name of the kernel itself (no module); 0 if there is none. Without
 * the plain name, a copy with a compiler's suffix (".isra.0", ".constprop.0", ".part.0") is
 * found.
 */
uint64_t vl_symbol(const struct vl_kernel *k, const char *name);

/* Is there a symbol of exactly this name? Its address can be 0 (per-CPU ones). */
bool vl_symbol_is(const struct vl_kernel *k, const char *name);

/* The name of the @i-th symbol, in the order of the names; NULL behind the last. */
const char *vl_symbol_name(const struct vl_kernel *k, size_t i);

/* The name of the @i-th in the order of addresses, and its address; NULL behind the last. */
const char *vl_symbol_placed(const struct vl_kernel *k, size_t i, uint64_t *address_ret);

/* The @n-th (from 0) of several functions of that name (static ones of different files); 0
 * behind the last. */
uint64_t vl_symbol_nth(const struct vl_kernel *k, const char *name, size_t n);

/*
 * The next symbol after address @va, as the end of the function at @va; 0 when
 * there is none.
 */
uint64_t vl_symbol_after(const struct vl_kernel *k, uint64_t va);

/* The function or variable that contains @va, and the offset in it; NULL: @va is below all. */
const char *vl_symbol_at(const struct vl_kernel *k, uint64_t va, uint64_t *offset_ret);

/*
 * Find where the timekeeping code reads the TSC. The read is inlined since "x86: Inline TSC
 * reads in timekeeping" (7.1), so no single function can be patched. The instruction (rdtsc,
 * lfence; rdtsc, or rdtscp) depends on the CPU, so the text of each guest is searched: @image,
 * @len bytes from @va on. @ret: addresses, and 0 behind the last if there is space.
 */
#define VL_MAX_TSC_SITES 64
void vl_kernel_find_tsc_sites(const struct vl_kernel *k, const unsigned char *image, size_t len,
			      uint64_t va, uint64_t ret[VL_MAX_TSC_SITES]);

/* The type and the path of members that row @f asks for; static. */
void vl_field_name(enum vl_field f, const char **type_ret, const char **path_ret);

/* A hash of all rows of VL_FIELDS: a kept layout with another value is not used. */
uint64_t vl_fields_hash(void);

static inline bool vl_has(const struct vl_layout *l, enum vl_field f)
{
	return l->offset[f] != VL_NO_FIELD;
}

const struct vl_layout *vl_kernel_layout(const struct vl_kernel *k);

/* The address of the kernel's own struct timekeeper; 0: not known. */
uint64_t vl_kernel_timekeeper(const struct vl_kernel *k);

#endif
