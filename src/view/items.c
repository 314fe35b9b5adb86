/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "itemize.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"

struct vl_items {
	enum vl_item_kind kind;
	size_t nr, stride;
	unsigned char *records; /* nr of them, each of stride bytes */
	char *text;		/* all texts, each with a NUL behind it */
};

/* clang-format off */
#define AT(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)
#define UINT(name, type, member) { name, AT(type, member), false, false }
#define INT(name, type, member) { name, AT(type, member), false, true }
#define TEXT(name, type, member) { name, AT(type, member), true, false }
/* clang-format on */

#define PROCESS vl_process_info
static const struct vl_item_member process_members[] = {
	[VL_PROCESS_INFO_PID] = INT("PID", PROCESS, pid),
	[VL_PROCESS_INFO_PPID] = INT("PPID", PROCESS, ppid),
	[VL_PROCESS_INFO_UID] = UINT("UID", PROCESS, uid),
	[VL_PROCESS_INFO_EUID] = UINT("EUID", PROCESS, euid),
	[VL_PROCESS_INFO_STATE] = TEXT("S", PROCESS, state),
	[VL_PROCESS_INFO_START] = UINT("START", PROCESS, start_ns),
	[VL_PROCESS_INFO_STARTED] = UINT("STARTED", PROCESS, started_ns),
	[VL_PROCESS_INFO_CPU] = UINT("TIME", PROCESS, cpu_ns),
	[VL_PROCESS_INFO_THREADS] = INT("THREADS", PROCESS, threads),
	[VL_PROCESS_INFO_VSZ] = UINT("VSZ_BYTES", PROCESS, vsz),
	[VL_PROCESS_INFO_RSS] = UINT("RSS_BYTES", PROCESS, rss),
	[VL_PROCESS_INFO_COMM] = TEXT("COMM", PROCESS, comm),
	[VL_PROCESS_INFO_ARGS] = TEXT("ARGS", PROCESS, args),
	[VL_PROCESS_INFO_ARGS_CUT] = UINT("ARGS_TRUNCATED", PROCESS, args_cut),
	[VL_PROCESS_INFO_NICE] = INT("NICE", PROCESS, nice),
	[VL_PROCESS_INFO_PRIORITY] = INT("PRI", PROCESS, priority),
	[VL_PROCESS_INFO_KERNEL] = UINT("KTHREAD", PROCESS, kernel),
	[VL_PROCESS_INFO_CONTAINER] = TEXT("CONTAINER", PROCESS, container),
	[VL_PROCESS_INFO_UNIT] = TEXT("UNIT", PROCESS, unit),
	[VL_PROCESS_INFO_MM] = UINT("MM", PROCESS, mm),
	[VL_PROCESS_INFO_TASK] = UINT("TASK", PROCESS, task),
};

#define SOCKET vl_socket_info
static const struct vl_item_member socket_members[] = {
	[VL_SOCKET_INFO_PROTO] = TEXT("PROTO", SOCKET, proto),
	[VL_SOCKET_INFO_TYPE] = TEXT("TYPE", SOCKET, type),
	[VL_SOCKET_INFO_STATE] = TEXT("STATE", SOCKET, state),
	[VL_SOCKET_INFO_LOCAL] = TEXT("LOCAL", SOCKET, local),
	[VL_SOCKET_INFO_LOCAL_PORT] = UINT("LPORT", SOCKET, local_port),
	[VL_SOCKET_INFO_PEER] = TEXT("PEER", SOCKET, peer),
	[VL_SOCKET_INFO_PEER_PORT] = UINT("PPORT", SOCKET, peer_port),
	[VL_SOCKET_INFO_RECV_Q] = INT("RECV_Q", SOCKET, recv_q),
	[VL_SOCKET_INFO_SEND_Q] = INT("SEND_Q", SOCKET, send_q),
	[VL_SOCKET_INFO_PID] = INT("PID", SOCKET, pid),
	[VL_SOCKET_INFO_COMM] = TEXT("COMM", SOCKET, comm),
	[VL_SOCKET_INFO_FD] = INT("FD", SOCKET, fd),
	[VL_SOCKET_INFO_HOLDERS] = UINT("HOLDERS", SOCKET, holders),
	[VL_SOCKET_INFO_UID] = UINT("UID", SOCKET, uid),
	[VL_SOCKET_INFO_INODE] = UINT("INODE", SOCKET, inode),
	[VL_SOCKET_INFO_NETNS] = UINT("NETNS", SOCKET, netns),
	[VL_SOCKET_INFO_SOCK] = UINT("SOCK", SOCKET, sock),
};

#define MODULE vl_module_info
static const struct vl_item_member module_members[] = {
	[VL_MODULE_INFO_NAME] = TEXT("MODULE", MODULE, name),
	[VL_MODULE_INFO_BYTES] = UINT("SIZE", MODULE, bytes),
	[VL_MODULE_INFO_USERS] = INT("USED", MODULE, users),
	[VL_MODULE_INFO_USED_BY] = TEXT("BY", MODULE, used_by),
	[VL_MODULE_INFO_STATE] = TEXT("STATE", MODULE, state),
	[VL_MODULE_INFO_TEXT] = UINT("ADDRESS", MODULE, text),
	[VL_MODULE_INFO_MODULE] = UINT("STRUCT", MODULE, module),
};

#define OPENED vl_file_info
static const struct vl_item_member file_members[] = {
	[VL_FILE_INFO_COMM] = TEXT("COMM", OPENED, comm),
	[VL_FILE_INFO_PID] = INT("PID", OPENED, pid),
	[VL_FILE_INFO_UID] = UINT("UID", OPENED, uid),
	[VL_FILE_INFO_USE] = TEXT("USE", OPENED, use),
	[VL_FILE_INFO_FD] = INT("FD", OPENED, fd),
	[VL_FILE_INFO_MODE] = TEXT("MODE", OPENED, mode),
	[VL_FILE_INFO_TYPE] = TEXT("TYPE", OPENED, type),
	[VL_FILE_INFO_DEVICE] = TEXT("DEVICE", OPENED, device),
	[VL_FILE_INFO_BYTES] = UINT("SIZE", OPENED, bytes),
	[VL_FILE_INFO_NODE] = UINT("NODE", OPENED, node),
	[VL_FILE_INFO_NAME] = TEXT("NAME", OPENED, name),
	[VL_FILE_INFO_POS] = UINT("POS", OPENED, pos),
	[VL_FILE_INFO_FLAGS] = UINT("FLAGS", OPENED, flags),
	[VL_FILE_INFO_LINKS] = UINT("LINKS", OPENED, links),
	[VL_FILE_INFO_FSTYPE] = TEXT("FSTYPE", OPENED, fstype),
	[VL_FILE_INFO_DELETED] = UINT("DELETED", OPENED, deleted),
	[VL_FILE_INFO_PROTO] = TEXT("PROTO", OPENED, proto),
	[VL_FILE_INFO_STATE] = TEXT("STATE", OPENED, state),
	[VL_FILE_INFO_FILE] = UINT("FILE", OPENED, file),
	[VL_FILE_INFO_INODE] = UINT("INODE", OPENED, inode),
};

#define MEMORY vl_memory_info
static const struct vl_item_member memory_members[] = {
	[VL_MEMORY_INFO_TOTAL] = UINT("TOTAL_BYTES", MEMORY, total),
	[VL_MEMORY_INFO_USED] = UINT("USED_BYTES", MEMORY, used),
	[VL_MEMORY_INFO_FREE] = UINT("FREE_BYTES", MEMORY, free),
	[VL_MEMORY_INFO_SHARED] = UINT("SHARED_BYTES", MEMORY, shared),
	[VL_MEMORY_INFO_CACHE] = UINT("CACHE_BYTES", MEMORY, cache),
	[VL_MEMORY_INFO_AVAILABLE] = UINT("AVAILABLE_BYTES", MEMORY, available),
	[VL_MEMORY_INFO_SWAP_TOTAL] = UINT("SWAP_TOTAL_BYTES", MEMORY, swap_total),
	[VL_MEMORY_INFO_SWAP_USED] = UINT("SWAP_USED_BYTES", MEMORY, swap_used),
	[VL_MEMORY_INFO_SWAP_FREE] = UINT("SWAP_FREE_BYTES", MEMORY, swap_free),
};

#define CONTAINER vl_container_info
static const struct vl_item_member container_members[] = {
	[VL_CONTAINER_INFO_RUNTIME] = TEXT("RUNTIME", CONTAINER, runtime),
	[VL_CONTAINER_INFO_ID] = TEXT("FULL_ID", CONTAINER, id),
	[VL_CONTAINER_INFO_NAME] = TEXT("NAME", CONTAINER, name),
	[VL_CONTAINER_INFO_PROCESSES] = UINT("PROCESSES", CONTAINER, processes),
	[VL_CONTAINER_INFO_RSS] = UINT("RSS_BYTES", CONTAINER, rss),
	[VL_CONTAINER_INFO_START] = UINT("START", CONTAINER, start_ns),
	[VL_CONTAINER_INFO_PID] = INT("PID", CONTAINER, pid),
	[VL_CONTAINER_INFO_COMM] = TEXT("COMM", CONTAINER, comm),
	[VL_CONTAINER_INFO_POD] = TEXT("POD", CONTAINER, pod),
	[VL_CONTAINER_INFO_UNIT] = TEXT("UNIT", CONTAINER, unit),
	[VL_CONTAINER_INFO_CGROUP] = TEXT("CGROUP", CONTAINER, cgroup),
	[VL_CONTAINER_INFO_NETNS] = UINT("NETNS", CONTAINER, netns),
};

#define FORM(scan, type, members) \
	{ \
		&(scan), sizeof(struct type), members, ARRAY_SIZE(members) \
	}
static const struct vl_item_form forms[] = {
	[VL_ITEM_PROCESS] = FORM(vl_scan_ps, PROCESS, process_members),
	[VL_ITEM_SOCKET] = FORM(vl_scan_sockets, SOCKET, socket_members),
	[VL_ITEM_MODULE] = FORM(vl_scan_modules, MODULE, module_members),
	[VL_ITEM_FILE] = FORM(vl_scan_files, OPENED, file_members),
	[VL_ITEM_MEMORY] = FORM(vl_scan_free, MEMORY, memory_members),
	[VL_ITEM_CONTAINER] = FORM(vl_scan_containers, CONTAINER, container_members),
};

const struct vl_item_form *vl_item_form(enum vl_item_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(forms) && forms[kind].scan ? &forms[kind] : NULL;
}

/* Store the number of @c in member @m of @record. False: the member is too small for it. */
static bool put_number(unsigned char *record, const struct vl_item_member *m,
		       const struct vl_cell *c)
{
	const unsigned bits = 8 * m->size;

	/* The type of a bool has the values 0 and 1 only. */
	if (c->kind == VL_CELL_BOOL) {
		const bool is_set = c->u != 0;

		memcpy(record + m->at, &is_set, sizeof(is_set));
		return true;
	}
	if (bits < 64 && m->is_signed &&
	    (c->i < -((int64_t)1 << (bits - 1)) || c->i >= (int64_t)1 << (bits - 1)))
		return false;
	if (bits < 64 && !m->is_signed && c->u >> bits)
		return false;
	memcpy(record + m->at, &c->u, m->size); /* little-endian: its low bytes */
	return true;
}

/* Copy a text to @to; of a list, with commas between its items. */
static void copy_text(char *to, const struct vl_table *t, const struct vl_column *column,
		      const struct vl_cell *c)
{
	memcpy(to, vl_table_bytes(t, c), c->text.len);
	for (uint32_t i = 0; column->list && i < c->text.len; i++)
		if (!to[i])
			to[i] = i + 1 < c->text.len ? ',' : '\0';
}

/* Fill the record of row @row; *@text_at is where the next text goes. */
static void fill(struct vl_items *items, const struct vl_item_form *form, const struct vl_table *t,
		 const int *columns, size_t row, size_t *text_at)
{
	unsigned char *record = items->records + row * items->stride;
	struct vl_item item = { .size = (uint32_t)form->size, .kind = (uint32_t)items->kind };

	for (size_t i = 0; i < form->nr_members; i++) {
		const struct vl_item_member *m = &form->members[i];
		const struct vl_cell *c =
			vl_table_cell(t, row, columns[i] < 0 ? SIZE_MAX : (size_t)columns[i]);
		struct vl_item_text text = { .text = "" };
		const bool is_known = c->kind != VL_CELL_NONE &&
				      (c->kind == VL_CELL_TEXT) == m->is_text &&
				      (m->is_text || put_number(record, m, c));

		if (is_known)
			item.known |= (uint64_t)1 << i;
		if (is_known && m->is_text) {
			text.text = items->text + *text_at;
			text.len = c->text.len;
			/* The NUL of the last item ends the text. */
			if (t->columns[columns[i]].list && text.len)
				text.len--;
			copy_text(items->text + *text_at, t, &t->columns[columns[i]], c);
			*text_at += text.len + 1; /* calloc() made the NUL */
		}
		if (m->is_text)
			memcpy(record + m->at, &text, sizeof(text));
	}
	memcpy(record, &item, sizeof(item));
}

struct vl_error *vl_items_make(enum vl_item_kind kind, const struct vl_table *t,
			       struct vl_items **ret)
{
	const struct vl_item_form *form = vl_item_form(kind);
	struct vl_items *items;
	size_t text_at = 0;
	int columns[64];

	*ret = NULL;
	if (!form)
		return vl_error_new(VL_ERR_ARG, "there is no kind %d of items", (int)kind);
	items = calloc(1, sizeof(*items));
	if (!items)
		return vl_error_nomem();
	items->kind = kind;
	items->nr = t->nr_rows;
	items->stride = form->size;
	items->records = calloc(items->nr + 1, items->stride);
	/* Cells can share bytes of the table's text; here each has its own. */
	for (size_t i = 0; i < t->nr_rows * t->nr_columns; i++)
		if (t->cells[i].kind == VL_CELL_TEXT)
			text_at += t->cells[i].text.len + 1UL;
	items->text = calloc(text_at + 1, 1);
	if (!items->records || !items->text) {
		vl_items_close(items);
		return vl_error_nomem();
	}
	text_at = 0;
	for (size_t i = 0; i < form->nr_members; i++)
		columns[i] = vl_column_find(t->columns, form->members[i].column,
					    strlen(form->members[i].column));
	for (size_t row = 0; row < items->nr; row++)
		fill(items, form, t, columns, row, &text_at);
	*ret = items;
	return NULL;
}

void vl_items_close(struct vl_items *items)
{
	if (!items)
		return;
	free(items->records);
	free(items->text);
	free(items);
}

size_t vl_items_count(const struct vl_items *items)
{
	return items ? items->nr : 0;
}

static const void *item_at(const struct vl_items *items, enum vl_item_kind kind, size_t i)
{
	return items && items->kind == kind && i < items->nr ? items->records + i * items->stride :
							       NULL;
}

const struct vl_process_info *vl_items_process(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_PROCESS, i);
}

const struct vl_socket_info *vl_items_socket(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_SOCKET, i);
}

const struct vl_module_info *vl_items_module(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_MODULE, i);
}

const struct vl_file_info *vl_items_file(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_FILE, i);
}

const struct vl_memory_info *vl_items_memory(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_MEMORY, i);
}

const struct vl_container_info *vl_items_container(const struct vl_items *items, size_t i)
{
	return item_at(items, VL_ITEM_CONTAINER, i);
}

static bool is_known(const struct vl_item *item, enum vl_item_kind kind, unsigned int member)
{
	return item->kind == kind && member < 64 && item->known >> member & 1;
}

bool vl_process_has(const struct vl_process_info *process, enum vl_process_member member)
{
	return is_known(&process->item, VL_ITEM_PROCESS, member);
}

bool vl_socket_has(const struct vl_socket_info *socket, enum vl_socket_member member)
{
	return is_known(&socket->item, VL_ITEM_SOCKET, member);
}

bool vl_module_has(const struct vl_module_info *module, enum vl_module_member member)
{
	return is_known(&module->item, VL_ITEM_MODULE, member);
}

bool vl_file_has(const struct vl_file_info *file, enum vl_file_member member)
{
	return is_known(&file->item, VL_ITEM_FILE, member);
}

bool vl_memory_has(const struct vl_memory_info *memory, enum vl_memory_member member)
{
	return is_known(&memory->item, VL_ITEM_MEMORY, member);
}

bool vl_container_has(const struct vl_container_info *container, enum vl_container_member member)
{
	return is_known(&container->item, VL_ITEM_CONTAINER, member);
}
