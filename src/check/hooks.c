/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/file.h"

/* Bytes of a table of functions: struct net_device_ops has some 700. */
#define TABLE_MAX 4096

bool vl_hook_word(struct vl_checker *c, uint64_t va, uint64_t *ret)
{
	*ret = 0;
	return !vl_read_u64(c->g->reader, &c->g->space, va, ret);
}

void vl_hook_incomplete(struct vl_checker *c, const char *check, const char *what)
{
	vl_check_show(c,
		      &(struct vl_check_row){
			      .class = VL_CHECK_NOTE,
			      .unsure = true,
			      .check = check,
			      .what = what,
			      .found = vl_target_misses(c->g->target) > c->misses ?
					       "not checked to the end: the file lacks memory" :
					       "not checked to the end: it changes, or is damaged",
		      });
}

void vl_hook_damaged(struct vl_checker *c, const char *check, const char *what)
{
	/* The caller reports memory that the file lacks, once for the check. */
	if (!c->damaged && vl_target_misses(c->g->target) == c->misses)
		c->damaged = vl_error_new(
			VL_ERR_KERNEL, "%s could not be checked: %s cannot be read, or is damaged",
			check, what);
}

/* Is @va, in the kernel's text, the start of a function? */
static bool is_start(const struct vl_checker *c, uint64_t va)
{
	uint64_t offset;

	return vl_symbol_at(c->k, va, &offset) && !offset;
}

static bool is_in_module(struct vl_checker *c, uint64_t fn)
{
	return vl_place_of(&c->places, fn).kind == VL_PLACE_MODULE && vl_place_runs(&c->places, fn);
}

bool vl_hook_is_fine(struct vl_checker *c, const struct vl_hook *h)
{
	enum vl_place_kind kind = vl_place_of(&c->places, h->fn).kind;

	return !h->fn || (kind == VL_PLACE_TEXT && is_start(c, h->fn)) ||
	       (kind == VL_PLACE_BPF && vl_stub_is_entry(&c->stubs, h->fn)) ||
	       (is_in_module(c, h->fn) && !h->shown);
}

void vl_hook_check(struct vl_checker *c, const struct vl_hook *h)
{
	enum vl_place_kind kind = vl_place_of(&c->places, h->fn).kind;
	bool in_module = is_in_module(c, h->fn);
	const char *expected = "code of the kernel or of a module";

	if (vl_hook_is_fine(c, h))
		return;
	if (kind == VL_PLACE_TEXT || kind == VL_PLACE_BPF)
		expected = "the start of a function";
	vl_check_show(c, &(struct vl_check_row){
				 .class = in_module ? VL_CHECK_ATTACHED : VL_CHECK_FINDING,
				 .check = h->check,
				 .at = h->at,
				 .what = h->what,
				 .expected = in_module ? NULL : expected,
				 .code = h->fn,
			 });
}

/* Is @va executable memory of the modules' space without an owner, or of a hidden module? */
static bool is_foreign(const struct vl_checker *c, uint64_t va)
{
	enum vl_place_kind kind = vl_place_of(&c->places, va).kind;

	return kind == VL_PLACE_HIDDEN || kind == VL_PLACE_NOBODY || kind == VL_PLACE_CLAIMED;
}

/*
 * The class of word @fn of a table whose owner is of @kind: it is wrong in any table if it has no
 * owner, and in a table of the kernel also if a module does. A module's own table has its
 * functions. A copy elsewhere that has a module's function is of interest. False: no row.
 */
static bool is_of_interest(const struct vl_checker *c, enum vl_place_kind kind, uint64_t fn,
			   enum vl_check_class *ret)
{
	*ret = VL_CHECK_FINDING;
	/* vl_check_pointers() has a row for those in the image. */
	if (is_foreign(c, fn))
		return kind != VL_PLACE_IMAGE;
	if (kind == VL_PLACE_MODULE || !vl_place_runs(&c->places, fn) ||
	    vl_place_of(&c->places, fn).kind != VL_PLACE_MODULE)
		return false;
	if (kind != VL_PLACE_IMAGE)
		*ret = VL_CHECK_ATTACHED;
	return true;
}

/* Is @va in the kernel's constant data, which vl_check_pointers() checks? */
static bool is_constant(const struct vl_checker *c, uint64_t va)
{
	return va >= vl_symbol(c->k, "__start_rodata") && va < vl_symbol(c->k, "__end_rodata");
}

static void show_word(struct vl_checker *c, const struct vl_hook *h, enum vl_check_class class,
		      uint64_t at, uint64_t fn)
{
	vl_check_show(
		c,
		&(struct vl_check_row){
			.class = class,
			.check = h->check,
			.at = at,
			.what = h->what,
			.expected = class == VL_CHECK_FINDING ? "the table's own function" : NULL,
			.code = fn,
		});
}

void vl_hook_table(struct vl_checker *c, const struct vl_hook *h, uint64_t table, size_t size)
{
	enum vl_place_kind kind = vl_place_of(&c->places, table).kind;
	uint64_t words[TABLE_MAX / 8];
	char found[VL_CHECK_TEXT], place[VL_CHECK_TEXT];
	enum vl_check_class class;

	if (!table || !size || size > sizeof(words) || kind == VL_PLACE_TEXT ||
	    is_constant(c, table))
		return;
	if (is_foreign(c, table)) {
		snprintf(found, sizeof(found), "a table at %.160s",
			 vl_check_describe(c, table, place));
		vl_check_show(c, &(struct vl_check_row){
					 .check = h->check,
					 .at = h->at,
					 .what = h->what,
					 .expected = "a table of the kernel or of a module",
					 .found = found,
					 .code = table,
				 });
		return;
	}
	if (vl_read(c->g->reader, &c->g->space, table, words, size & ~7UL)) {
		snprintf(found, sizeof(found), "the table of functions of %.120s", h->what);
		vl_hook_damaged(c, h->check, found);
		return;
	}
	for (size_t i = 0; i < size / 8; i++)
		if (is_of_interest(c, kind, words[i], &class))
			show_word(c, h, class, table + 8 * i, words[i]);
}

/* ---- lists of structures with functions ---- */

#define FUNCTIONS 4

static const struct list {
	const char *check, *symbol;
	enum vl_field head; /* the head's place in the variable; VL_NR_FIELDS: it is the head */
	enum vl_field node; /* of a list or a hlist: the node's place in the element */
	enum vl_field next; /* of a chain: the pointer's place; VL_NR_FIELDS: a list */
	bool shown;	    /* a module's function is shown as an attachment */
	enum vl_field fn[FUNCTIONS];
	uint8_t nr_fn, nr_heads; /* 0: one head */
} lists[] = {
/* clang-format off */
#define NOTIFIERS(symbol, head, shown)                                                             \
	{ "notifiers", symbol, VL_F_##head, VL_NR_FIELDS, VL_F_NOTIFIER_NEXT, shown,               \
	  { VL_F_NOTIFIER_CALL }, 1, 0 }
	NOTIFIERS("die_chain", ATOMIC_HEAD, true),
	NOTIFIERS("keyboard_notifier_list", ATOMIC_HEAD, true),
	NOTIFIERS("vt_notifier_list", ATOMIC_HEAD, true),
	NOTIFIERS("panic_notifier_list", ATOMIC_HEAD, false),
	NOTIFIERS("restart_handler_list", ATOMIC_HEAD, false),
	NOTIFIERS("inet6addr_chain", ATOMIC_HEAD, false),
	NOTIFIERS("netevent_notif_chain", ATOMIC_HEAD, false),
	NOTIFIERS("task_free_notifier", ATOMIC_HEAD, true),
	NOTIFIERS("module_notify_list", BLOCKING_HEAD, true),
	NOTIFIERS("reboot_notifier_list", BLOCKING_HEAD, false),
	NOTIFIERS("inetaddr_chain", BLOCKING_HEAD, false),
	NOTIFIERS("netlink_chain", BLOCKING_HEAD, false),
	NOTIFIERS("usb_notifier_list", BLOCKING_HEAD, false),
	NOTIFIERS("task_exit_notifier", BLOCKING_HEAD, true),
	NOTIFIERS("munmap_notifier", BLOCKING_HEAD, true),
	NOTIFIERS("oom_notify_list", BLOCKING_HEAD, false),
	NOTIFIERS("pm_chain_head", BLOCKING_HEAD, false),
	NOTIFIERS("crypto_chain", BLOCKING_HEAD, false),
	NOTIFIERS("memory_chain", BLOCKING_HEAD, false),
	NOTIFIERS("x86_mce_decoder_chain", BLOCKING_HEAD, false),
	NOTIFIERS("netdev_chain", RAW_HEAD, false),
	NOTIFIERS("pvclock_gtod_chain", RAW_HEAD, false),
#undef NOTIFIERS
	{ "binary formats", "formats", VL_NR_FIELDS, VL_F_BINFMT_LIST, VL_NR_FIELDS, true,
	  { VL_F_BINFMT_LOAD, VL_F_BINFMT_CORE }, 2, 0 },
	{ "input handlers", "input_handler_list", VL_NR_FIELDS, VL_F_INPUT_NODE, VL_NR_FIELDS, true,
	  { VL_F_INPUT_EVENT, VL_F_INPUT_EVENTS, VL_F_INPUT_FILTER, VL_F_INPUT_CONNECT }, 4, 0 },
#define LIST(check, symbol, node, shown, ...)                                                      \
	{ check, symbol, VL_NR_FIELDS, VL_F_##node, VL_NR_FIELDS, shown, { __VA_ARGS__ },          \
	  sizeof((enum vl_field[]){ __VA_ARGS__ }) / sizeof(enum vl_field), 0 }
	LIST("shrinkers", "shrinker_list", SHRINKER_LIST, false, VL_F_SHRINKER_COUNT,
	     VL_F_SHRINKER_SCAN),
	LIST("key types", "key_types_list", KEY_TYPE_LINK, false, VL_F_KEY_TYPE_MAKE,
	     VL_F_KEY_TYPE_MATCH, VL_F_KEY_TYPE_READ, VL_F_KEY_TYPE_REQUEST),
	LIST("dumps of messages", "dump_list", KMSG_LIST, true, VL_F_KMSG_DUMP),
	LIST("netfilter", "nf_sockopts", SOCKOPT_LIST, true, VL_F_SOCKOPT_SET, VL_F_SOCKOPT_GET),
	LIST("network namespaces", "pernet_list", PERNET_LIST, false, VL_F_PERNET_INIT,
	     VL_F_PERNET_EXIT),
	LIST("perf", "pmus", PMU_ENTRY, false, VL_F_PMU_INIT, VL_F_PMU_ADD, VL_F_PMU_READ),
	LIST("suspend", "syscore_ops_list", SYSCORE_NODE, false, VL_F_SYSCORE_SUSPEND,
	     VL_F_SYSCORE_RESUME, VL_F_SYSCORE_SHUTDOWN),
	LIST("clocks", "clocksource_list", CLOCKSOURCE_LIST, false, VL_F_CLOCKSOURCE_READ),
	LIST("network devices", "link_ops", LINK_OPS_LIST, false, VL_F_LINK_OPS_SETUP,
	     VL_F_LINK_OPS_NEW, VL_F_LINK_OPS_FILL),
#undef LIST
	{ "consoles", "console_list", VL_NR_FIELDS, VL_F_CONSOLE_NODE, VL_F_CONSOLE_NODE, true,
	  { VL_F_CONSOLE_WRITE }, 1, 0 },
	{ "consoles", "console_drivers", VL_NR_FIELDS, VL_NR_FIELDS, VL_F_CONSOLE_NEXT, true,
	  { VL_F_CONSOLE_WRITE }, 1, 0 },
	{ "file systems", "file_systems", VL_NR_FIELDS, VL_NR_FIELDS, VL_F_FSTYPE_NEXT, false,
	  { VL_F_FSTYPE_CONTEXT, VL_F_FSTYPE_MOUNT, VL_F_FSTYPE_KILL }, 3, 0 },
	{ "packet handlers", "ptype_all", VL_NR_FIELDS, VL_F_PTYPE_LIST, VL_NR_FIELDS, true,
	  { VL_F_PTYPE_FUNC }, 1, 0 },
	/* PTYPE_HASH_SIZE, include/linux/netdevice.h */
	{ "packet handlers", "ptype_base", VL_NR_FIELDS, VL_F_PTYPE_LIST, VL_NR_FIELDS, true,
	  { VL_F_PTYPE_FUNC }, 1, 16 },
	/* clang-format on */
};

struct element {
	uint64_t at, fn[FUNCTIONS];
};

/* Static variables of several files can have the same name. */
#define NAMESAKES 8

/* The variable @name that is the head of a list: its two neighbours point back to it. */
static uint64_t find_head(struct vl_checker *c, const char *name)
{
	for (size_t i = 0; i < NAMESAKES; i++) {
		uint64_t at = vl_symbol_nth(c->k, name, i), next, prev, back;

		if (!at)
			break;
		if (vl_hook_word(c, at, &next) && vl_hook_word(c, next + 8, &prev) && prev == at &&
		    vl_hook_word(c, at + 8, &prev) && vl_hook_word(c, prev, &back) && back == at)
			return at;
	}
	/* No variable is the head of a whole list: the walk reports why. */
	return vl_symbol(c->k, name);
}

static struct vl_error *check_list(struct vl_checker *c, const struct list *l)
{
	bool is_list = l->next == VL_NR_FIELDS;
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = is_list ? VL_WALK_LIST : VL_WALK_CHAIN,
		.head = vl_symbol(c->k, l->symbol),
		.nr_heads = l->nr_heads,
		.head_stride = 16,
		.stride = sizeof(struct element),
	};
	const struct element *e;
	struct vl_error *err;
	size_t nr;

	if (is_list && !l->nr_heads)
		w.head = find_head(c, l->symbol);
	if (!w.head || !vl_has(c->l, is_list ? l->node : l->next) ||
	    (l->head != VL_NR_FIELDS && !vl_has(c->l, l->head)))
		return NULL;
	if (l->head != VL_NR_FIELDS)
		w.head += vl_offset(c->l, l->head);
	/* Of a chain it is the place of struct hlist_node. */
	if (l->node != VL_NR_FIELDS)
		w.node = vl_offset(c->l, l->node);
	else
		w.next = vl_offset(c->l, l->next);
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct element, at));
	for (size_t i = 0; i < l->nr_fn; i++)
		vl_fields_add(&fs, l->fn[i], offsetof(struct element, fn) + 8 * i, 8);
	err = vl_collect(c->g, &w, &fs, l->symbol, &nr);
	e = w.records;
	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < l->nr_fn; k++)
			vl_hook_check(c, &(struct vl_hook){ l->check, e[i].at, l->symbol,
							    e[i].fn[k], l->shown });
	free(w.records);
	return err;
}

/* ---- arrays of pointers to structures with functions ---- */

static const struct array {
	const char *check, *symbol;
	enum vl_field fn;
	bool table;	    /* @fn is the size of a table of functions */
	unsigned short max; /* elements */
} arrays[] = {
	/* MAX_INET_PROTOS, include/net/protocol.h */
	{ "protocols", "inet_protos", VL_F_INET_PROTO_HANDLER, false, 256 },
	{ "protocols", "inet6_protos", VL_F_INET6_PROTO_HANDLER, false, 256 },
	/* NPROTO, include/linux/net.h; NR_LDISCS, include/linux/tty_ldisc.h */
	{ "protocols", "net_families", VL_F_FAMILY_CREATE, false, 64 },
	{ "terminals", "tty_ldiscs", VL_F_SIZE_LDISC_OPS, true, 32 },
};

static void check_array(struct vl_checker *c, const struct array *a)
{
	uint64_t at = vl_symbol(c->k, a->symbol), end, to[256], fn;
	size_t nr;

	if (!at || !vl_has(c->l, a->fn))
		return;
	end = vl_symbol_after(c->k, at);
	nr = end > at ? (end - at) / 8 : 0;
	if (nr > a->max)
		nr = a->max;
	if (vl_read(c->g->reader, &c->g->space, at, to, nr * sizeof(*to)))
		return;
	for (size_t i = 0; i < nr; i++) {
		struct vl_hook h = { a->check, to[i], a->symbol, 0, false };

		if (!to[i])
			continue;
		if (a->table) {
			vl_hook_table(c, &h, to[i], vl_offset(c->l, a->fn));
		} else if (vl_hook_word(c, to[i] + vl_offset(c->l, a->fn), &fn)) {
			h.fn = fn;
			vl_hook_check(c, &h);
		}
	}
}

/* ---- security hooks ---- */

/*
 * The hooks are registered before any module can be loaded, so their functions are the kernel's.
 * Older kernels have a list for each hook.
 */
static void show_security(struct vl_checker *c, uint64_t at, uint64_t fn)
{
	struct vl_hook h = { "security hooks", at, NULL, fn, false };

	if (vl_place_of(&c->places, fn).kind != VL_PLACE_MODULE) {
		vl_hook_check(c, &h);
		return;
	}
	vl_check_show(c, &(struct vl_check_row){
				 .check = h.check,
				 .at = at,
				 .expected = "the kernel's own code",
				 .code = fn,
			 });
}

static struct vl_error *check_security_lists(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.head = vl_symbol(c->k, "security_hook_heads"),
		.node = vl_offset(c->l, VL_F_LSM_LIST),
		.nr_heads = vl_offset(c->l, VL_F_SIZE_LSM_HEADS) / 8,
		.head_stride = 8,
		.stride = sizeof(struct element),
	};
	const struct element *e;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !w.nr_heads || !vl_has(c->l, VL_F_LSM_LIST) || !vl_has(c->l, VL_F_LSM_HOOK))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct element, at));
	vl_fields_add(&fs, VL_F_LSM_HOOK, offsetof(struct element, fn), 8);
	err = vl_collect(c->g, &w, &fs, "the security hooks", &nr);
	e = w.records;
	for (size_t i = 0; i < nr; i++)
		show_security(c, e[i].at, e[i].fn[0]);
	free(w.records);
	return err;
}

/* No kernel has more: some 250 hooks of 10 modules (CONFIG_LSM). */
#define LSM_CALLS_MAX 8192

/* Newer kernels have static calls, in an array. */
static void check_security_calls(struct vl_checker *c)
{
	uint64_t at = vl_symbol(c->k, "static_calls_table");
	size_t stride = vl_offset(c->l, VL_F_SIZE_LSM_CALL);
	size_t nr = stride ? vl_offset(c->l, VL_F_SIZE_LSM_CALLS) / stride : 0;

	if (!at || !vl_has(c->l, VL_F_LSM_CALL_KEY) || !vl_has(c->l, VL_F_LSM_CALL_LIST) ||
	    !vl_has(c->l, VL_F_STATIC_CALL_FUNC) || !vl_has(c->l, VL_F_LSM_HOOK))
		return;
	for (size_t i = 0; i < nr && i < LSM_CALLS_MAX; i++) {
		uint64_t call = at + i * stride, key, list, fn;

		if (vl_hook_word(c, call + vl_offset(c->l, VL_F_LSM_CALL_KEY), &key) && key &&
		    vl_hook_word(c, key + vl_offset(c->l, VL_F_STATIC_CALL_FUNC), &fn))
			show_security(c, key, fn);
		if (vl_hook_word(c, call + vl_offset(c->l, VL_F_LSM_CALL_LIST), &list) && list &&
		    vl_hook_word(c, list + vl_offset(c->l, VL_F_LSM_HOOK), &fn))
			show_security(c, list, fn);
	}
}

/* ---- tracepoints ---- */

/* Bounds against a hostile guest: tracepoints, and functions of one. */
#define TRACEPOINTS_MAX 65536
#define PROBES_MAX 1024

static void check_probes(struct vl_checker *c, uint64_t tracepoint, uint64_t funcs)
{
	size_t stride = vl_offset(c->l, VL_F_SIZE_TP_FUNC);
	char name[64] = "", what[VL_CHECK_TEXT];
	uint64_t fn, at;

	if (vl_hook_word(c, tracepoint + vl_offset(c->l, VL_F_TP_NAME), &at))
		vl_read_string(c->g->reader, &c->g->space, at, name, sizeof(name));
	snprintf(what, sizeof(what), "%s", name);
	for (size_t i = 0; i < PROBES_MAX; i++) {
		at = funcs + i * stride;
		if (!vl_hook_word(c, at, &fn) || !fn)
			return;
		vl_hook_check(c, &(struct vl_hook){ "tracepoints", at, what, fn, true });
	}
}

/* The tracepoints of the kernel itself. Their places are relative to those of the pointers. */
static void check_tracepoints(struct vl_checker *c)
{
	uint64_t start = vl_symbol(c->k, "__start___tracepoints_ptrs");
	uint64_t end = vl_symbol(c->k, "__stop___tracepoints_ptrs");
	_cleanup_free_ struct vl_get *get = NULL;
	_cleanup_free_ uint64_t *funcs = NULL;
	_cleanup_free_ int32_t *to = NULL;
	size_t nr = end > start ? (end - start) / 4 : 0;

	if (!start || !nr || nr > TRACEPOINTS_MAX || !vl_has(c->l, VL_F_TP_FUNCS) ||
	    !vl_has(c->l, VL_F_SIZE_TP_FUNC))
		return;
	to = calloc(nr, sizeof(*to));
	funcs = calloc(nr, sizeof(*funcs));
	get = calloc(nr, sizeof(*get));
	if (!to || !funcs || !get ||
	    vl_read(c->g->reader, &c->g->space, start, to, nr * sizeof(*to)))
		return;
	for (size_t i = 0; i < nr; i++)
		get[i] = (struct vl_get){ .va = start + 4 * i + (uint64_t)(int64_t)to[i] +
						(uint64_t)vl_offset(c->l, VL_F_TP_FUNCS),
					  .buf = &funcs[i],
					  .len = 8 };
	vl_gather(c->g->reader, &c->g->space, get, nr);
	for (size_t i = 0; i < nr; i++)
		if (funcs[i])
			check_probes(c, get[i].va - vl_offset(c->l, VL_F_TP_FUNCS), funcs[i]);
}

struct vl_error *vl_check_hooks(struct vl_checker *c)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		err = vl_error_first(err, check_list(c, &lists[i]));
	for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
		check_array(c, &arrays[i]);
	check_security_calls(c);
	check_tracepoints(c);
	return vl_error_first(err, check_security_lists(c));
}
