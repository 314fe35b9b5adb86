/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of devices in a migration stream. Only QEMU knows their layout, but behind the last of
 * them it describes the names and sizes of all fields, as JSON (QEMU migration/vmstate.c,
 * vmstate_save_vmsd_v()). By that a device's section is found: by its header, and by its end, which
 * must be where the description has it.
 */
#include "stream.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "internal.h"
#include "notes.h"

/* The state of a machine's devices takes some 100 KiB; the buffers of a disk some more. */
#define STATE_MAX (64UL << 20)
#define DEPTH_MAX 64

enum {
	VM_FULL = 0x04,
	VM_SUBSECTION = 0x05,
	VM_DESCRIPTION = 0x06,
	VM_FOOTER = 0x7e,
};

struct state {
	const unsigned char *data;
	size_t len;
	size_t from; /* a device's section is looked for from here on */
};

/* The member @name of @o, a list; its length is 0 if there is none. */
static json_object *list_of(json_object *o, const char *name, size_t *nr_ret)
{
	json_object *list = NULL;

	*nr_ret = 0;
	if (json_object_object_get_ex(o, name, &list) && json_object_is_type(list, json_type_array))
		*nr_ret = json_object_array_length(list);
	return list;
}

static const char *text_of(json_object *o, const char *name)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string) ?
		       json_object_get_string(v) :
		       "";
}

/* The member @name, a number up to the size of all state; @none if there is none. */
static size_t number_of(json_object *o, const char *name, size_t none)
{
	json_object *v = NULL;
	int64_t n;

	if (!json_object_object_get_ex(o, name, &v))
		return none;
	n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
	return n < 0 || n > (int64_t)STATE_MAX ? STATE_MAX : (size_t)n;
}

/* The bytes of a field: its size, as often as it is repeated. */
static size_t field_size(json_object *field)
{
	size_t size = number_of(field, "size", 0), nr = number_of(field, "array_len", 1);

	return size && nr > STATE_MAX / size ? STATE_MAX : size * nr;
}

/* A part of the state: the bytes of a field. */
struct span {
	const unsigned char *p;
	size_t len;
};

/* The field @name of the struct that @o describes, whose bytes are @in. len 0: there is none. */
static struct span find_field(json_object *o, struct span in, const char *name,
			      json_object **desc_ret)
{
	size_t nr, at = 0;
	json_object *fields = list_of(o, "fields", &nr);

	for (size_t i = 0; i < nr; i++) {
		json_object *f = json_object_array_get_idx(fields, i);
		size_t size = field_size(f);

		if (!in.len || size > in.len - at)
			break;
		if (!strcmp(text_of(f, "name"), name)) {
			*desc_ret = f;
			return (struct span){ in.p + at, size };
		}
		at += size;
	}
	return (struct span){ 0 };
}

/* The size of what @o describes, with its subsections. */
static size_t whole_size(json_object *o, unsigned depth)
{
	size_t nr, sum = 0;
	json_object *list = list_of(o, "fields", &nr);

	for (size_t i = 0; i < nr && sum < STATE_MAX; i++)
		sum += field_size(json_object_array_get_idx(list, i));
	list = depth ? list_of(o, "subsections", &nr) : NULL;
	for (size_t i = 0; list && i < nr && sum < STATE_MAX; i++) {
		json_object *sub = json_object_array_get_idx(list, i);

		/* Its kind, the length of its name, the name, its version. */
		sum += 1 + 1 + strlen(text_of(sub, "vmsd_name")) + 4 + whole_size(sub, depth - 1);
	}
	return sum;
}

static void put_be32(unsigned char *p, size_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* The bytes of device @dev; len 0: it is not where the description has it. */
static struct span find_device(struct state *s, json_object *dev)
{
	const char *name = text_of(dev, "name");
	size_t len = strlen(name), size = whole_size(dev, DEPTH_MAX), left = s->len - s->from;
	const unsigned char *p = s->data + s->from;
	unsigned char head[1 + 255 + 8];

	if (len > 255)
		return (struct span){ 0 };
	head[0] = (unsigned char)len;
	memcpy(head + 1, name, len);
	put_be32(head + 1 + len, number_of(dev, "instance_id", 0));
	put_be32(head + 5 + len, number_of(dev, "version", 0));
	while ((p = memmem(p, left, head, len + 9))) {
		const unsigned char *body = p + len + 9;

		left = (size_t)(s->data + s->len - body);
		if (p - s->data >= 5 && p[-5] == VM_FULL && size <= left && left - size >= 5 &&
		    body[size] == VM_FOOTER && !memcmp(body + size + 1, p - 4, 4)) {
			s->from = (size_t)(body - s->data) + size;
			return (struct span){ body, size };
		}
		p = body;
	}
	return (struct span){ 0 };
}

static uint64_t number_in(struct span s)
{
	return s.len == 8 ? vl_be64(s.p) : s.len == 4 ? vl_be32(s.p) : 0;
}

/* A vCPU's fields: what is known of them. */
struct cpu {
	json_object *desc;
	struct span bytes;
	bool good; /* all fields that were asked for are there */
};

static uint64_t reg(struct cpu *c, const char *name)
{
	json_object *desc;
	struct span s = find_field(c->desc, c->bytes, name, &desc);

	c->good &= s.len == 4 || s.len == 8;
	return number_in(s);
}

/* Element @i of the array @name, a number. */
static uint64_t reg_of(struct cpu *c, const char *name, size_t i)
{
	json_object *desc = NULL;
	struct span s = find_field(c->desc, c->bytes, name, &desc);
	size_t size = desc ? number_of(desc, "size", 0) : 0;

	if (!size || (i + 1) * size > s.len) {
		c->good = false;
		return 0;
	}
	return number_in((struct span){ s.p + i * size, size });
}

/* The segment that @bytes are, whose layout is @desc. */
static struct vl_register_segment segment_in(struct cpu *c, json_object *desc, struct span bytes)
{
	struct cpu seg = { desc, bytes, true };
	const struct vl_register_segment ret = {
		.selector = (uint32_t)reg(&seg, "selector"),
		.base = reg(&seg, "base"),
		.limit = (uint32_t)reg(&seg, "limit"),
		.flags = (uint32_t)reg(&seg, "flags"),
	};

	c->good &= seg.good;
	return ret;
}

/* Element @i of @name, segments or one (@i 0). */
static struct vl_register_segment segment_of(struct cpu *c, const char *name, size_t i)
{
	json_object *desc = NULL, *layout = NULL;
	struct span s = find_field(c->desc, c->bytes, name, &desc);
	size_t size = desc ? number_of(desc, "size", 0) : 0;

	if (!size || (i + 1) * size > s.len ||
	    !json_object_object_get_ex(desc, "struct", &layout)) {
		c->good = false;
		return (struct vl_register_segment){ 0 };
	}
	return segment_in(c, layout, (struct span){ s.p + i * size, size });
}

/* QEMU target/i386/machine.c: vmstate_x86_cpu; cpu.h: the order of registers and segments. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

static bool read_cpu(struct state *s, json_object *dev, struct vl_registers *ret, uint64_t *efer)
{
	struct cpu c = { dev, find_device(s, dev), true };
	uint64_t *const regs[] = {
		&ret->rax, &ret->rcx, &ret->rdx, &ret->rbx, &ret->rsp, &ret->rbp,
		&ret->rsi, &ret->rdi, &ret->r8,	 &ret->r9,  &ret->r10, &ret->r11,
		&ret->r12, &ret->r13, &ret->r14, &ret->r15,
	};

	*ret = (struct vl_registers){
		.version = VL_REGISTERS_VERSION,
		.size = VL_REGISTERS_NEW,
		.rip = reg(&c, "env.eip"),
		.rflags = reg(&c, "env.eflags"),
		.cs = segment_of(&c, "env.segs", SEG_CS),
		.ds = segment_of(&c, "env.segs", SEG_DS),
		.es = segment_of(&c, "env.segs", SEG_ES),
		.fs = segment_of(&c, "env.segs", SEG_FS),
		.gs = segment_of(&c, "env.segs", SEG_GS),
		.ss = segment_of(&c, "env.segs", SEG_SS),
		.ldt = segment_of(&c, "env.ldt", 0),
		.tr = segment_of(&c, "env.tr", 0),
		.gdt = segment_of(&c, "env.gdt", 0),
		.idt = segment_of(&c, "env.idt", 0),
		.cr = { reg(&c, "env.cr[0]"), 0, reg(&c, "env.cr[2]"), reg(&c, "env.cr[3]"),
			reg(&c, "env.cr[4]") },
		.kernel_gs_base = reg(&c, "env.kernelgsbase"),
	};
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		*regs[i] = reg_of(&c, "env.regs", i);
	*efer = reg(&c, "env.efer");
	return c.good;
}

/* QEMU hw/i386/pc.c, pc_cmos_init(): the sizes of RAM, in units of 64 KiB. */
enum { CMOS_LOW = 0x34, CMOS_HIGH = 0x5b, CMOS_SIZE = 128 };

static void read_clock(struct vl_stream *s, struct state *st, json_object *dev)
{
	struct span bytes = find_device(st, dev), cmos;
	json_object *desc;

	cmos = find_field(dev, bytes, "cmos_data", &desc);
	if (cmos.len != CMOS_SIZE)
		return;
	s->low = (16UL << 20) + ((uint64_t)cmos.p[CMOS_LOW] << 16) +
		 ((uint64_t)cmos.p[CMOS_LOW + 1] << 24);
	s->high = (uint64_t)cmos.p[CMOS_HIGH] << 16 | (uint64_t)cmos.p[CMOS_HIGH + 1] << 24 |
		  (uint64_t)cmos.p[CMOS_HIGH + 2] << 32;
}

static struct vl_error *read_devices(struct vl_stream *s, struct state *st, json_object *root)
{
	size_t nr, nr_cpus = 0;
	json_object *devices = list_of(root, "devices", &nr);
	bool has_clock = false;

	for (size_t i = 0; i < nr; i++) {
		json_object *dev = json_object_array_get_idx(devices, i);

		/* A machine has one clock. Each of many would take a search of the state. */
		if (!has_clock && !strcmp(text_of(dev, "name"), "mc146818rtc")) {
			read_clock(s, st, dev);
			has_clock = true;
		}
		nr_cpus += !strcmp(text_of(dev, "name"), "cpu");
	}
	if (!nr_cpus)
		return NULL;
	s->vcpus = calloc(nr_cpus, sizeof(*s->vcpus));
	s->registers = calloc(nr_cpus, sizeof(*s->registers));
	if (!s->vcpus || !s->registers)
		return vl_error_nomem();
	st->from = 0;
	for (size_t i = 0; i < nr && s->nr_vcpus < nr_cpus; i++) {
		json_object *dev = json_object_array_get_idx(devices, i);
		uint64_t efer;

		if (strcmp(text_of(dev, "name"), "cpu"))
			continue;
		/* With some vCPUs missing, the others would pass for all. */
		if (!read_cpu(st, dev, &s->registers[s->nr_vcpus], &efer)) {
			s->nr_vcpus = 0;
			break;
		}
		s->vcpus[s->nr_vcpus] = vl_vcpu_of(&s->registers[s->nr_vcpus]);
		s->vcpus[s->nr_vcpus++].efer = efer;
	}
	return NULL;
}

/*
 * The description: it is the last part, but a file may have more bytes than were written to it. In
 * a hostile file each byte could begin what is parsed to the end: we parse no more bytes than the
 * state has.
 */
static json_object *find_description(const struct state *st)
{
	json_object *root = NULL;
	json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	size_t left = st->len;

	for (size_t i = st->len < 6 ? 0 : st->len - 6; tok && i > 0 && !root; i--) {
		const unsigned char *p = st->data + i;
		size_t size = p[0] == VM_DESCRIPTION && !p[-1] ? vl_be32(p + 1) : 0;

		if (size < 2 || size > st->len - i - 5 || p[5] != '{' || p[5 + size - 1] != '}')
			continue;
		if (size > left)
			break;
		left -= size;
		json_tokener_reset(tok);
		root = json_tokener_parse_ex(tok, (const char *)p + 5, (int)size);
		if (!json_object_is_type(root, json_type_object)) {
			json_object_put(root);
			root = NULL;
		}
	}
	if (tok)
		json_tokener_free(tok);
	return root;
}

struct vl_error *vl_stream_read_state(struct vl_stream *s, uint64_t from)
{
	uint64_t len = s->bytes.size - from;
	_cleanup_free_ unsigned char *data = NULL;
	struct vl_error *err = NULL;
	json_object *root;
	struct state st;

	if (len > STATE_MAX || !len)
		return NULL;
	data = malloc(len);
	if (!data)
		return vl_error_nomem();
	st = (struct state){ .data = data, .len = len };
	if (vl_bytes_read(&s->bytes, from, data, len) != (int64_t)len)
		return NULL;
	root = find_description(&st);
	if (root)
		err = read_devices(s, &st, root);
	json_object_put(root);
	return err;
}
