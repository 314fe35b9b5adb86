/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints all items of a guest as lines of JSON, by the installed library alone:
 *
 *	items GUEST
 *
 * Each line has the kind of the item, and its members by the names of the columns of the tools.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <vlens/vlens.h>

#define EXACT (UINT64_C(1) << 53)

/* The key of a member, and null if it has no value. */
static bool key(bool has, const char *name)
{
	printf(", \"%s\": ", name);
	if (!has)
		printf("null");
	return has;
}

static void put_text(bool has, const char *name, struct vl_item_text text)
{
	if (!key(has, name))
		return;
	putchar('"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.text[i];

		if (c < ' ' || c == '"' || c == '\\')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
	/* A text ends where its length says. */
	if (text.text[text.len])
		abort();
}

static void put_int(bool has, const char *name, int64_t v)
{
	if (key(has, name))
		printf("%" PRId64, v);
}

static void put_uint(bool has, const char *name, uint64_t v)
{
	if (key(has, name))
		printf(v > EXACT ? "\"%" PRIu64 "\"" : "%" PRIu64, v);
}

static void put_hex(bool has, const char *name, uint64_t v)
{
	if (key(has, name))
		printf("\"0x%" PRIx64 "\"", v);
}

static void put_bool(bool has, const char *name, bool v)
{
	if (key(has, name))
		printf(v ? "true" : "false");
}

static void put_seconds(bool has, const char *name, uint64_t ns)
{
	if (key(has, name))
		printf("%" PRIu64 ".%02" PRIu64, ns / 1000000000, ns % 1000000000 / 10000000);
}

/* clang-format off */
/* For each structure: the form of a member, the end of its bit, the column, the member. */
#define PROCESS(M) \
	M(int, PID, "pid", pid) \
	M(int, PPID, "ppid", ppid) \
	M(uint, UID, "uid", uid) \
	M(uint, EUID, "euid", euid) \
	M(text, STATE, "s", state) \
	M(seconds, START, "start", start_ns) \
	M(seconds, STARTED, "started", started_ns) \
	M(seconds, CPU, "time", cpu_ns) \
	M(int, THREADS, "threads", threads) \
	M(uint, VSZ, "vsz_bytes", vsz) \
	M(uint, RSS, "rss_bytes", rss) \
	M(text, COMM, "comm", comm) \
	M(text, ARGS, "args", args) \
	M(bool, ARGS_CUT, "args_truncated", args_cut) \
	M(int, NICE, "nice", nice) \
	M(int, PRIORITY, "pri", priority) \
	M(bool, KERNEL, "kthread", kernel) \
	M(text, CONTAINER, "container", container) \
	M(text, UNIT, "unit", unit) \
	M(hex, MM, "mm", mm) \
	M(hex, TASK, "task", task)
#define SOCKET(M) \
	M(text, PROTO, "proto", proto) \
	M(text, TYPE, "type", type) \
	M(text, STATE, "state", state) \
	M(text, LOCAL, "local", local) \
	M(uint, LOCAL_PORT, "lport", local_port) \
	M(text, PEER, "peer", peer) \
	M(uint, PEER_PORT, "pport", peer_port) \
	M(int, RECV_Q, "recv_q", recv_q) \
	M(int, SEND_Q, "send_q", send_q) \
	M(int, PID, "pid", pid) \
	M(text, COMM, "comm", comm) \
	M(int, FD, "fd", fd) \
	M(uint, HOLDERS, "holders", holders) \
	M(uint, UID, "uid", uid) \
	M(uint, INODE, "inode", inode) \
	M(uint, NETNS, "netns", netns) \
	M(hex, SOCK, "sock", sock)
#define MODULE(M) \
	M(text, NAME, "module", name) \
	M(uint, BYTES, "size", bytes) \
	M(int, USERS, "used", users) \
	M(text, USED_BY, "by", used_by) \
	M(text, STATE, "state", state) \
	M(hex, TEXT, "address", text) \
	M(hex, MODULE, "struct", module)
#define FILE_(M) \
	M(text, COMM, "comm", comm) \
	M(int, PID, "pid", pid) \
	M(uint, UID, "uid", uid) \
	M(text, USE, "use", use) \
	M(int, FD, "fd", fd) \
	M(text, MODE, "mode", mode) \
	M(text, TYPE, "type", type) \
	M(text, DEVICE, "device", device) \
	M(uint, BYTES, "size", bytes) \
	M(uint, NODE, "node", node) \
	M(text, NAME, "name", name) \
	M(uint, POS, "pos", pos) \
	M(hex, FLAGS, "flags", flags) \
	M(uint, LINKS, "links", links) \
	M(text, FSTYPE, "fstype", fstype) \
	M(bool, DELETED, "deleted", deleted) \
	M(text, PROTO, "proto", proto) \
	M(text, STATE, "state", state) \
	M(hex, FILE, "file", file) \
	M(hex, INODE, "inode", inode)
#define MEMORY(M) \
	M(uint, TOTAL, "total_bytes", total) \
	M(uint, USED, "used_bytes", used) \
	M(uint, FREE, "free_bytes", free) \
	M(uint, SHARED, "shared_bytes", shared) \
	M(uint, CACHE, "cache_bytes", cache) \
	M(uint, AVAILABLE, "available_bytes", available) \
	M(uint, SWAP_TOTAL, "swap_total_bytes", swap_total) \
	M(uint, SWAP_USED, "swap_used_bytes", swap_used) \
	M(uint, SWAP_FREE, "swap_free_bytes", swap_free)
#define CONTAINER(M) \
	M(text, RUNTIME, "runtime", runtime) \
	M(text, ID, "full_id", id) \
	M(text, NAME, "name", name) \
	M(uint, PROCESSES, "processes", processes) \
	M(uint, RSS, "rss_bytes", rss) \
	M(seconds, START, "start", start_ns) \
	M(int, PID, "pid", pid) \
	M(text, COMM, "comm", comm) \
	M(text, POD, "pod", pod) \
	M(text, UNIT, "unit", unit) \
	M(text, CGROUP, "cgroup", cgroup) \
	M(uint, NETNS, "netns", netns)
/* clang-format on */

#define PUT_PROCESS(form, bit, name, member) \
	put_##form(vl_process_has(i, VL_PROCESS_INFO_##bit), name, i->member);
#define PUT_SOCKET(form, bit, name, member) \
	put_##form(vl_socket_has(i, VL_SOCKET_INFO_##bit), name, i->member);
#define PUT_MODULE(form, bit, name, member) \
	put_##form(vl_module_has(i, VL_MODULE_INFO_##bit), name, i->member);
#define PUT_FILE(form, bit, name, member) \
	put_##form(vl_file_has(i, VL_FILE_INFO_##bit), name, i->member);
#define PUT_MEMORY(form, bit, name, member) \
	put_##form(vl_memory_has(i, VL_MEMORY_INFO_##bit), name, i->member);
#define PUT_CONTAINER(form, bit, name, member) \
	put_##form(vl_container_has(i, VL_CONTAINER_INFO_##bit), name, i->member);

#define PRINTER(type, members, put) \
	static bool print_##type(const struct vl_items *items, size_t n) \
	{ \
		const struct vl_##type##_info *i = vl_items_##type(items, n); \
\
		if (!i) \
			return false; \
		printf("{\"kind\": \"" #type "\""); \
		members(put) puts("}"); \
		return i->item.size == sizeof(*i) || (abort(), false); \
	}
PRINTER(process, PROCESS, PUT_PROCESS)
PRINTER(socket, SOCKET, PUT_SOCKET)
PRINTER(module, MODULE, PUT_MODULE)
PRINTER(file, FILE_, PUT_FILE)
PRINTER(memory, MEMORY, PUT_MEMORY)
PRINTER(container, CONTAINER, PUT_CONTAINER)

int main(int argc, char **argv)
{
	static const struct {
		enum vl_item_kind kind;
		bool (*print)(const struct vl_items *items, size_t n);
	} kinds[] = {
		{ VL_ITEM_PROCESS, print_process }, { VL_ITEM_SOCKET, print_socket },
		{ VL_ITEM_MODULE, print_module },   { VL_ITEM_FILE, print_file },
		{ VL_ITEM_MEMORY, print_memory },   { VL_ITEM_CONTAINER, print_container },
	};
	struct vl_guest_options options = { .uses = VL_GUEST_READ };
	struct vl_items *items[6] = { NULL };
	struct vl_guest *guest = NULL;
	struct vl_error *err;

	err = vl_guest_open(argc > 1 ? argv[1] : "", &options, &guest);
	if (!err)
		err = vl_guest_attach(guest, true);
	for (size_t i = 0; !err && i < 6; i++)
		err = vl_guest_items(guest, kinds[i].kind, &items[i]);
	/* They do not need the guest. */
	vl_guest_close(guest);
	for (size_t i = 0; i < 6; i++) {
		size_t n = 0;

		while (kinds[i].print(items[i], n))
			n++;
		if (n != vl_items_count(items[i]))
			abort();
		vl_items_close(items[i]);
	}
	if (err)
		fprintf(stderr, "%s; %s\n", err->message, err->hint ? err->hint : "");
	vl_error_destroy(err);
	return err ? 1 : 0;
}
