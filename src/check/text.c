/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of the kernel whose first instructions lead out of its text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../view/dispatch.h"
#include "check.h"

/* No kernel has a larger text. */
#define TEXT_MAX (256UL << 20)
#define CHUNK (1U << 20)
#define ENTRY_LEN 32
/* Most findings that are shown: a hostile guest can make any number. */
#define SHOWN 64

/* ftrace and kprobes lead to their own trampolines and copies; BPF attaches to entries. */
static bool is_attachment(const struct vl_checker *c, uint64_t to)
{
	enum vl_place_kind kind = vl_place_of(&c->places, to).kind;

	return kind == VL_PLACE_FTRACE || kind == VL_PLACE_KPROBE || kind == VL_PLACE_BPF;
}

/* Show the function at @va if its entry, ENTRY_LEN bytes of @code, leads out. */
static bool check_entry(struct vl_checker *c, const unsigned char *code, uint64_t va)
{
	char found[VL_CHECK_TEXT + 16], place[VL_CHECK_TEXT];
	uint64_t to;
	enum vl_entry_kind kind = vl_entry_kind(code, ENTRY_LEN, va, &to);

	if ((kind != VL_ENTRY_JUMP && kind != VL_ENTRY_CALL) ||
	    (to >= c->places.stext && to < c->places.end) || is_attachment(c, to))
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
