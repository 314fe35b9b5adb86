/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is in a guest as typed structures: its processes, sockets, modules, open files, memory and
 * containers. vl_guest_items() (vlens.h) reads all of one kind in one pass; the functions
 * below return them one by one. They are the rows of the views of scan.h, with the same values.
 *
 * Growth. A later library has longer structures: members are added at the end, and none is
 * moved or given another meaning. So a program takes them by pointer, and copies no more than
 * item.size bytes. A member has a value if its bit is set in item.known, which
 * vl_process_has() and its kin look up: an older library does not set the bit of a member that it
 * does not have.
 *
 * Lifetime. A struct vl_items belongs to the caller, and does not need the guest that it was read
 * from. Its structures and texts are valid until vl_items_close().
 *
 * Threads. A struct vl_items does not change: any number of threads may read one.
 *
 * Errors. The functions below cannot fail. The guest is hostile: any member can be any value of its
 * type, and a text has any bytes, among them those that drive a terminal.
 */
#ifndef VLENS_ITEMS_H
#define VLENS_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vl_item_kind {
	VL_ITEM_PROCESS = 1,
	VL_ITEM_SOCKET,
	VL_ITEM_MODULE,
	VL_ITEM_FILE,
	VL_ITEM_MEMORY, /* one item: the totals */
	VL_ITEM_CONTAINER,
};

/* The guest's bytes, with a NUL behind them; never NULL. Without a value it is empty. */
struct vl_item_text {
	const char *text;
	size_t len;
};

/* How each structure begins. */
struct vl_item {
	uint32_t size; /* of the whole structure, in bytes, as this library has it */
	uint32_t kind; /* enum vl_item_kind */
	/*
	 * Bit N: member N has a value; else it is 0. The enum of the structure has the members in
	 * their order, from 0 on.
	 */
	uint64_t known;
};

/* A process, as its first thread has it. */
enum vl_process_member {
	VL_PROCESS_INFO_PID,
	VL_PROCESS_INFO_PPID,
	VL_PROCESS_INFO_UID,
	VL_PROCESS_INFO_EUID,
	VL_PROCESS_INFO_STATE,
	VL_PROCESS_INFO_START,
	VL_PROCESS_INFO_STARTED,
	VL_PROCESS_INFO_CPU,
	VL_PROCESS_INFO_THREADS,
	VL_PROCESS_INFO_VSZ,
	VL_PROCESS_INFO_RSS,
	VL_PROCESS_INFO_COMM,
	VL_PROCESS_INFO_ARGS,
	VL_PROCESS_INFO_ARGS_CUT,
	VL_PROCESS_INFO_NICE,
	VL_PROCESS_INFO_PRIORITY,
	VL_PROCESS_INFO_KERNEL,
	VL_PROCESS_INFO_CONTAINER,
	VL_PROCESS_INFO_UNIT,
	VL_PROCESS_INFO_MM,
	VL_PROCESS_INFO_TASK,
};
struct vl_process_info {
	struct vl_item item;
	int32_t pid, ppid;
	uint32_t uid, euid;	       /* real, effective */
	struct vl_item_text state;     /* a letter as in ps(1) */
	uint64_t start_ns;	       /* since the guest booted */
	uint64_t started_ns;	       /* since the epoch, by the guest's clock */
	uint64_t cpu_ns;	       /* CPU time that it had */
	int32_t threads;	       /* their number */
	uint64_t vsz, rss;	       /* virtual memory, and what of it is in RAM; bytes */
	struct vl_item_text comm;      /* name of its program, 15 bytes at most */
	struct vl_item_text args;      /* command line, 1024 bytes at most */
	bool args_cut;		       /* the command line is longer */
	int32_t nice, priority;	       /* as in top(1): 0 and 20 for most */
	bool kernel;		       /* it is a thread of the kernel */
	struct vl_item_text container; /* "docker/3f2a01234567" */
	struct vl_item_text unit;      /* of systemd */
	uint64_t mm, task;	       /* addresses of its mm_struct and task_struct */
};

/* A socket. */
enum vl_socket_member {
	VL_SOCKET_INFO_PROTO,
	VL_SOCKET_INFO_TYPE,
	VL_SOCKET_INFO_STATE,
	VL_SOCKET_INFO_LOCAL,
	VL_SOCKET_INFO_LOCAL_PORT,
	VL_SOCKET_INFO_PEER,
	VL_SOCKET_INFO_PEER_PORT,
	VL_SOCKET_INFO_RECV_Q,
	VL_SOCKET_INFO_SEND_Q,
	VL_SOCKET_INFO_PID,
	VL_SOCKET_INFO_COMM,
	VL_SOCKET_INFO_FD,
	VL_SOCKET_INFO_HOLDERS,
	VL_SOCKET_INFO_UID,
	VL_SOCKET_INFO_INODE,
	VL_SOCKET_INFO_NETNS,
	VL_SOCKET_INFO_SOCK,
};
struct vl_socket_info {
	struct vl_item item;
	struct vl_item_text proto; /* "tcp", "tcp6", "udp", "unix", "netlink" ... */
	struct vl_item_text type;  /* "stream", "dgram", "raw", "seqpacket" */
	struct vl_item_text state; /* "LISTEN", "ESTABLISHED" ..., as in netstat(8) */
	struct vl_item_text local; /* its address: of IP, or a path */
	uint32_t local_port;	   /* of netlink, the port id */
	struct vl_item_text peer;  /* the other side's address */
	uint32_t peer_port;
	int64_t recv_q;		  /* bytes; of a listener, connections */
	int64_t send_q;		  /* bytes */
	int32_t pid;		  /* the first process that has it open */
	struct vl_item_text comm; /* the name of that process */
	int32_t fd;		  /* its descriptor there */
	uint64_t holders;	  /* descriptors of all processes for it */
	uint32_t uid;		  /* of who made it */
	uint64_t inode;		  /* number of its inode */
	uint32_t netns;		  /* number of its network namespace */
	uint64_t sock;		  /* address of its struct sock */
};

/* A module of the guest's kernel. */
enum vl_module_member {
	VL_MODULE_INFO_NAME,
	VL_MODULE_INFO_BYTES,
	VL_MODULE_INFO_USERS,
	VL_MODULE_INFO_USED_BY,
	VL_MODULE_INFO_STATE,
	VL_MODULE_INFO_TEXT,
	VL_MODULE_INFO_MODULE,
};
struct vl_module_info {
	struct vl_item item;
	struct vl_item_text name;
	uint64_t bytes;		     /* of its memory */
	int32_t users;		     /* how many use it */
	struct vl_item_text used_by; /* which modules do, with commas between */
	struct vl_item_text state;   /* "live", "coming", "going", "unformed" */
	uint64_t text, module;	     /* addresses of its text and its struct module */
};

/* A file that a process uses: by a descriptor, or as its folder, root or program. */
enum vl_file_member {
	VL_FILE_INFO_COMM,
	VL_FILE_INFO_PID,
	VL_FILE_INFO_UID,
	VL_FILE_INFO_USE,
	VL_FILE_INFO_FD,
	VL_FILE_INFO_MODE,
	VL_FILE_INFO_TYPE,
	VL_FILE_INFO_DEVICE,
	VL_FILE_INFO_BYTES,
	VL_FILE_INFO_NODE,
	VL_FILE_INFO_NAME,
	VL_FILE_INFO_POS,
	VL_FILE_INFO_FLAGS,
	VL_FILE_INFO_LINKS,
	VL_FILE_INFO_FSTYPE,
	VL_FILE_INFO_DELETED,
	VL_FILE_INFO_PROTO,
	VL_FILE_INFO_STATE,
	VL_FILE_INFO_FILE,
	VL_FILE_INFO_INODE,
};
struct vl_file_info {
	struct vl_item item;
	struct vl_item_text comm;	  /* name of the process */
	int32_t pid;			  /* of the process */
	uint32_t uid;			  /* of the process, effective */
	struct vl_item_text use;	  /* "fd", "cwd", "rtd", "txt" */
	int32_t fd;			  /* its descriptor */
	struct vl_item_text mode;	  /* open to read ("r"), to write ("w"), to both ("u") */
	struct vl_item_text type;	  /* "REG", "DIR", "CHR" ..., or the kind of socket */
	struct vl_item_text device;	  /* its own, else that it is on: "major,minor" */
	uint64_t bytes;			  /* its size */
	uint64_t node;			  /* number of its inode */
	struct vl_item_text name;	  /* path, or a socket's addresses */
	uint64_t pos;			  /* where in it the next read begins, in bytes */
	uint64_t flags;			  /* with which it was opened (O_*) */
	uint64_t links;			  /* number of its names */
	struct vl_item_text fstype;	  /* kind of file system that it is on */
	bool deleted;			  /* it has no name any more */
	struct vl_item_text proto, state; /* of a socket: "tcp", "LISTEN" */
	uint64_t file, inode;		  /* addresses of its struct file and struct inode */
};

/* The memory of the guest, in bytes. */
enum vl_memory_member {
	VL_MEMORY_INFO_TOTAL,
	VL_MEMORY_INFO_USED,
	VL_MEMORY_INFO_FREE,
	VL_MEMORY_INFO_SHARED,
	VL_MEMORY_INFO_CACHE,
	VL_MEMORY_INFO_AVAILABLE,
	VL_MEMORY_INFO_SWAP_TOTAL,
	VL_MEMORY_INFO_SWAP_USED,
	VL_MEMORY_INFO_SWAP_FREE,
};
struct vl_memory_info {
	struct vl_item item;
	uint64_t total;	    /* what the kernel manages */
	uint64_t used;	    /* of it, what is not available */
	uint64_t free;	    /* of it, what is not used for anything */
	uint64_t shared;    /* of it, in tmpfs and shared */
	uint64_t cache;	    /* buffers and cache, as in free(1) */
	uint64_t available; /* what programs could have without swapping, estimated */
	uint64_t swap_total, swap_used, swap_free;
};

/* A container. */
enum vl_container_member {
	VL_CONTAINER_INFO_RUNTIME,
	VL_CONTAINER_INFO_ID,
	VL_CONTAINER_INFO_NAME,
	VL_CONTAINER_INFO_PROCESSES,
	VL_CONTAINER_INFO_RSS,
	VL_CONTAINER_INFO_START,
	VL_CONTAINER_INFO_PID,
	VL_CONTAINER_INFO_COMM,
	VL_CONTAINER_INFO_POD,
	VL_CONTAINER_INFO_UNIT,
	VL_CONTAINER_INFO_CGROUP,
	VL_CONTAINER_INFO_NETNS,
};
struct vl_container_info {
	struct vl_item item;
	struct vl_item_text runtime; /* "docker", "podman", "containerd", "lxc" ... */
	struct vl_item_text id;	     /* all 64 digits of it */
	struct vl_item_text name;    /* its name, else its own host name */
	uint64_t processes;	     /* their number */
	uint64_t rss;		     /* memory of them in RAM, bytes; shared pages count for each */
	uint64_t start_ns;	     /* when the first one started, since the guest booted */
	int32_t pid;		     /* of the first process */
	struct vl_item_text comm;    /* its name */
	struct vl_item_text pod;     /* uid of the pod in Kubernetes */
	struct vl_item_text unit;    /* of systemd, that it is in */
	struct vl_item_text cgroup;  /* control group of the first process */
	uint32_t netns;		     /* number of its network namespace */
};

struct vl_items;

/* Free @items and all that it has; NULL is allowed. */
void vl_items_close(struct vl_items *items);

/* The number of items; 0 for NULL. */
size_t vl_items_count(const struct vl_items *items);

/*
 * Item @i, from 0 on, owned by @items. NULL: there is none, or @items are of another kind; so a
 * loop that ends at NULL goes through all.
 */
const struct vl_process_info *vl_items_process(const struct vl_items *items, size_t i);
const struct vl_socket_info *vl_items_socket(const struct vl_items *items, size_t i);
const struct vl_module_info *vl_items_module(const struct vl_items *items, size_t i);
const struct vl_file_info *vl_items_file(const struct vl_items *items, size_t i);
const struct vl_memory_info *vl_items_memory(const struct vl_items *items, size_t i);
const struct vl_container_info *vl_items_container(const struct vl_items *items, size_t i);

/* Has member @member a value? False as well for a member that this library does not have. */
bool vl_process_has(const struct vl_process_info *process, enum vl_process_member member);
bool vl_socket_has(const struct vl_socket_info *socket, enum vl_socket_member member);
bool vl_module_has(const struct vl_module_info *module, enum vl_module_member member);
bool vl_file_has(const struct vl_file_info *file, enum vl_file_member member);
bool vl_memory_has(const struct vl_memory_info *memory, enum vl_memory_member member);
bool vl_container_has(const struct vl_container_info *container, enum vl_container_member member);

#endif
