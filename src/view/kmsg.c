/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's log: the ring buffer of printk, as kernel/printk/printk_ringbuffer.c has it since
 * 5.10. Records are read oldest first; one that the kernel overwrites meanwhile is left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "objects.h"

/* Limits of the ring's sizes as powers of two: log_buf_len= is 2 GiB at most. */
#define MOST_RECORDS_BITS 26
#define MOST_TEXT_BITS 31
/* LOG_LINE_MAX and its prefix fit; a record has 16 bits for its length. */
#define TEXT_MAX 65536

/* DESC_SV_BITS and enum desc_state: the state is in the upper two bits of a descriptor's id. */
#define STATE_SHIFT 62
#define ID_MASK ((1UL << STATE_SHIFT) - 1)
#define STATE_COMMITTED 1
#define STATE_FINALIZED 2
/* LPOS_DATALESS(): an odd position has no text. */
#define IS_DATALESS(lpos) ((lpos)&1)
/* The caller is a CPU, else a task: printk_caller_id(). */
#define CALLER_IS_CPU 0x80000000U

struct ring {
	uint64_t descs, infos, head, tail, data;
	uint32_t bits, text_bits;
};

struct message {
	uint64_t seq, ns;
	int32_t priority; /* facility and level, as syslog(3) packs them */
	char caller[16], subsystem[16], device[48];
};

enum {
	MSG_SEQ,
	MSG_TIME,
	MSG_PRI,
	MSG_FACILITY,
	MSG_LEVEL,
	MSG_CALLER,
	MSG_MSG,
	MSG_SUBSYSTEM,
	MSG_DEVICE,
};

#define IN(member) VL_IN(struct message, member)

static const struct vl_column columns[] = {
	[MSG_SEQ] = { "SEQ", VL_CELL_UINT, false, "number of the record (JSON: always)", IN(seq),
		      .json = true },
	[MSG_TIME] = { "TIME", VL_CELL_MICROSECONDS, true,
		       "when it was written, in seconds since the boot", IN(ns) },
	[MSG_PRI] = { "PRIORITY", VL_CELL_INT, false, "facility * 8 + level (JSON: always)",
		      IN(priority), .json = true },
	[MSG_FACILITY] = { "FACILITY", VL_CELL_TEXT, true, .doc = "kern, daemon ..." },
	[MSG_LEVEL] = { "LEVEL", VL_CELL_TEXT, true, .doc = "emerg, alert, crit, err, warn ..." },
	[MSG_CALLER] = { "CALLER", VL_CELL_TEXT, false,
			 "thread (T) or CPU (C) that wrote it (JSON: always)", IN(caller),
			 .or_none = true, .json = true },
	[MSG_MSG] = { "MSG", VL_CELL_TEXT, true, .doc = "the text" },
	[MSG_SUBSYSTEM] = { "SUBSYSTEM", VL_CELL_TEXT, false,
			    "of the device that it is about (JSON: always)", IN(subsystem),
			    .or_none = true, .json = true },
	[MSG_DEVICE] = { "DEVICE", VL_CELL_TEXT, false, "that device (JSON: always)", IN(device),
			 .or_none = true, .json = true },
	{ 0 },
};

/* Names as dmesg -x and dmesg -l have them. */
static const char *const levels[] = { "emerg", "alert",	 "crit", "err",
				      "warn",  "notice", "info", "debug" };
static const char *const facilities[] = {
	"kern", "user", "mail", "daemon", "auth",     "syslog",
	"lpr",	"news", "uucp", "cron",	  "authpriv", "ftp",
};

static struct vl_error *find_ring(struct vl_raw_guest *g, struct ring *ret)
{
	uint64_t variable, at = 0;
	struct vl_error *err = vl_need_symbol(g, "prb", "the kernel's log", &variable);
	const struct vl_part parts[] = {
		VL_PART(PRB_DESCS, ret->descs),		VL_PART(PRB_INFOS, ret->infos),
		VL_PART(PRB_HEAD, ret->head),		VL_PART(PRB_TAIL, ret->tail),
		VL_PART(PRB_DATA, ret->data),		VL_PART(PRB_BITS, ret->bits),
		VL_PART(PRB_TEXT_BITS, ret->text_bits),
	};

	if (err)
		return err;
	err = vl_read_error(vl_read(g->reader, &g->space, variable, &at, sizeof(at)), variable);
	if (err)
		return err;
	if (vl_object_lacks(g, at, parts, ARRAY_SIZE(parts)) || !ret->descs || !ret->infos ||
	    !ret->data || !ret->bits || ret->bits > MOST_RECORDS_BITS || !ret->text_bits ||
	    ret->text_bits > MOST_TEXT_BITS)
		return vl_error_new(VL_ERR_KERNEL, "the kernel's log does not look like one");
	ret->head &= ID_MASK;
	ret->tail &= ID_MASK;
	return NULL;
}

/* The text of descriptor @id between two positions of the ring. False: it was overwritten. */
static bool read_text(struct vl_raw_guest *g, const struct ring *r, uint64_t id, uint64_t begin,
		      uint64_t next, char *text, uint16_t *len)
{
	const uint64_t size = 1UL << r->text_bits;
	uint64_t at, room, is;

	if (IS_DATALESS(begin) || IS_DATALESS(next)) {
		*len = 0;
		return true;
	}
	if (begin >> r->text_bits == (next - 1) >> r->text_bits) {
		at = begin & (size - 1);
		room = next - begin;
	} else {
		/* A block that does not fit behind its begin is at the start. */
		at = 0;
		room = next & (size - 1);
	}
	/* A block begins with the id of its descriptor. */
	if (room < sizeof(is) || room > size - at || *len > room - sizeof(is))
		return false;
	return !vl_read(g->reader, &g->space, r->data + at, &is, sizeof(is)) &&
	       (is & ID_MASK) == id &&
	       (!*len || !vl_read(g->reader, &g->space, r->data + at + sizeof(is), text, *len));
}

static void show(struct vl_table *t, const struct message *m, const char *text, uint16_t len)
{
	const unsigned facility = (unsigned)m->priority >> 3;

	vl_table_record(t, NULL, m);
	if (facility < ARRAY_SIZE(facilities))
		vl_table_str(t, MSG_FACILITY, facilities[facility]);
	else if (facility >= 16 && facility < 24)
		vl_table_printf(t, MSG_FACILITY, "local%u", facility - 16);
	else
		vl_table_printf(t, MSG_FACILITY, "%u", facility);
	vl_table_str(t, MSG_LEVEL, levels[m->priority & 7]);
	vl_table_text(t, MSG_MSG, text, len);
}

/*
 * Add the record of descriptor @id, if it is whole and stays so while it is read. False: some of it
 * cannot be read.
 */
static bool add(struct vl_raw_guest *g, const struct ring *r, uint64_t id, struct vl_table *t,
		char *text)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const uint64_t index = id & ((1UL << r->bits) - 1);
	const uint64_t desc = r->descs + index * vl_offset(l, VL_F_SIZE_PRB_DESC);
	const uint64_t info = r->infos + index * vl_offset(l, VL_F_SIZE_PRINTK_INFO);
	const uint64_t packed = info + vl_offset(l, VL_F_INFO_FACILITY);
	uint64_t state, after, begin, next;
	struct message m = { .seq = 0 };
	uint32_t caller = 0;
	uint8_t level[2]; /* the facility; flags in 5 bits and the level in 3 */
	uint16_t len;
	const struct vl_part of_desc[] = { VL_PART(PRB_DESC_STATE, state),
					   VL_PART(PRB_DESC_BEGIN, begin),
					   VL_PART(PRB_DESC_NEXT, next) };
	const struct vl_part of_info[] = { VL_PART(INFO_SEQ, m.seq),
					   VL_PART(INFO_TIME, m.ns),
					   VL_PART(INFO_LEN, len),
					   VL_PART(INFO_CALLER, caller),
					   VL_PART(INFO_SUBSYSTEM, m.subsystem),
					   VL_PART(INFO_DEVICE, m.device) };
	const struct vl_part again[] = { VL_PART(PRB_DESC_STATE, after) };

	if (vl_object_lacks(g, desc, of_desc, ARRAY_SIZE(of_desc)))
		return false;
	if ((state & ID_MASK) != id ||
	    (state >> STATE_SHIFT != STATE_COMMITTED && state >> STATE_SHIFT != STATE_FINALIZED))
		return true;
	if (vl_object_lacks(g, info, of_info, ARRAY_SIZE(of_info)) ||
	    vl_read(g->reader, &g->space, packed, level, sizeof(level)))
		return false;
	if (!read_text(g, r, id, begin, next, text, &len))
		return vl_target_is_live(g->target);
	if (!vl_object(g, desc, again, 1) || (after & ID_MASK) != id)
		return true;
	m.priority = level[0] << 3 | level[1] >> 5;
	if (caller)
		snprintf(m.caller, sizeof(m.caller), "%c%u", caller & CALLER_IS_CPU ? 'C' : 'T',
			 caller & ~CALLER_IS_CPU);
	show(t, &m, text, len);
	return true;
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	const enum vl_field need[] = { VL_F_PRB_DESCS,	      VL_F_PRB_INFOS,
				       VL_F_SIZE_PRB_DESC,    VL_F_PRB_DESC_STATE,
				       VL_F_PRB_DESC_BEGIN,   VL_F_PRB_DESC_NEXT,
				       VL_F_SIZE_PRINTK_INFO, VL_F_INFO_LEN,
				       VL_F_INFO_FACILITY };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "the kernel's log");
	_cleanup_free_ char *text = malloc(TEXT_MAX);
	struct ring r = { .descs = 0 };
	uint64_t nr;
	size_t lost = 0;

	if (!err && !text)
		err = vl_error_nomem();
	if (!err)
		err = find_ring(g, &r);
	if (err)
		return err;
	/* Ids count on from the tail; there are no more of them than descriptors. */
	nr = ((r.head - r.tail) & ID_MASK) + 1;
	if (nr > 1UL << r.bits)
		nr = 1UL << r.bits;
	for (uint64_t i = 0; i < nr; i++)
		lost += !add(g, &r, (r.tail + i) & ID_MASK, t, text);
	return vl_left_out(lost, "messages", vl_table_end(t));
}

const struct vl_scan vl_scan_kmsg = { "dmesg", "dmesg", columns, true, run, NULL, NULL };
