/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of the kernel whose first instructions lead out of its text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "../view/dispatch.h"
#include "check.h"

/* No kernel has a larger text. */
#define TEXT_MAX (256UL << 20)
#define CHUNK (1U << 20)
#define ENTRY_LEN 32
/* Most findings that are shown: a hostile guest can make any number. */
#define SHOWN 64

/* Is there a kprobe in the entry at @va? */
static bool has_probe(const struct vl_checker *c, uint64_t va)
{
	size_t i = vl_bisect(k, c->nr_probes, c->probes[k] < va);

	return i < c->nr_probes && c->probes[i] - va < ENTRY_LEN;
}

/*
 * ftrace leads to its trampolines, and BPF attaches to entries. An optimized kprobe leads to
 * memory of kprobes, but only where there is one: vl_check_attached() has looked at it.
 */
static bool is_attachment(const struct vl_checker *c, uint64_t va, uint64_t to)
{
	const struct vl_stub *stub = vl_stub_at(&c->stubs, to);

	char name[VL_CHECK_TEXT];

	if (vl_stub_traces(c->g, &c->stubs, to))
		return true;
	/* The whole body of a dispatcher of BPF is a jump. */
	return (stub && stub->kind != VL_STUB_FTRACE && vl_stub_is_entry(&c->stubs, to) &&
		!strncmp(vl_check_symbol(c, va, name), "bpf_dispatcher_", 15)) ||
	       (vl_place_of(&c->places, to).kind == VL_PLACE_KPROBE && has_probe(c, va));
}

/* Show the function at @va if its entry, ENTRY_LEN bytes of @code, leads out. */
static bool check_entry(struct vl_checker *c, const unsigned char *code, uint64_t va)
{
	char found[VL_CHECK_TEXT + 16], place[VL_CHECK_TEXT];
	uint64_t to;
	enum vl_entry_kind kind = vl_entry_kind(code, ENTRY_LEN, va, &to);

	if ((kind != VL_ENTRY_JUMP && kind != VL_ENTRY_CALL) ||
	    vl_place_of(&c->places, to).kind == VL_PLACE_TEXT || vl_check_is_freed(c, to) ||
	    is_attachment(c, va, to))
		return false;
	snprintf(found, sizeof(found), "%s %s", kind == VL_ENTRY_JUMP ? "jumps to" : "calls",
		 vl_check_describe(c, to, place));
	vl_check_show(c, &(struct vl_check_row){
				 .check = "text",
				 .at = va,
				 .expected = "the kernel's own code",
				 .found = found,
				 .code = to,
			 });
	return true;
}

struct vl_error *vl_check_text(struct vl_checker *c)
{
	uint64_t start = c->places.stext, end = c->places.etext, va;
	_cleanup_free_ unsigned char *text = NULL;
	unsigned shown = 0;
	const char *name;

	if (end <= start || end - start > TEXT_MAX)
		return vl_error_new(VL_ERR_KERNEL, "the bounds of the kernel's text are wrong");
	text = calloc(1, end - start + ENTRY_LEN);
	if (!text)
		return vl_error_nomem();
	for (uint64_t at = start; at < end; at += CHUNK) {
		size_t len = end - at < CHUNK ? end - at : CHUNK;
		enum vl_read_status s =
			vl_read(c->g->reader, &c->g->space, at, text + (at - start), len);

		if (s)
			return vl_read_error(s, at);
	}
	for (size_t i = 0; shown < SHOWN && (name = vl_symbol_placed(c->k, i, &va)); i++) {
		/* Not padding before functions; handlers of system calls have their own check. */
		if (va < start || va >= end || !strncmp(name, "__pfx_", 6) ||
		    !strncmp(name, "__x64_sys_", 10))
			continue;
		shown += check_entry(c, text + (va - start), va);
	}
	return NULL;
}
