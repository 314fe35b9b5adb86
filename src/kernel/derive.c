/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the witnesses for the offsets of fields. */
#include "derive.h"

#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/hash.h"
#include "../base/number.h"
#include "witness.h"

/* Larger offsets are no fields. */
#define OFFSET_MAX (1 << 20)
/* Fields that are found by others are found in one of these rounds. */
#define ROUNDS 6

static const char *const names[VL_NR_FIELDS] = {
#define VL_FIELD_NAME(id, type, path) [VL_F_##id] = #id,
	VL_FIELDS(VL_FIELD_NAME)
#undef VL_FIELD_NAME
};

/* --- patterns --- */

/* The offset of the field that @name, @len bytes, names; VL_NO_FIELD: it is not known. */
static int32_t known_field(const struct vl_layout *known, const char *name, size_t len)
{
	if (len == strlen("TK_AT") && !memcmp(name, "TK_AT", len))
		return known->timekeeper;
	for (int i = 0; i < VL_NR_FIELDS; i++)
		if (!strncmp(names[i], name, len) && !names[i][len])
			return known->offset[i];
	return VL_NO_FIELD;
}

/* The number at @line: "+N", "-N" or nothing; the length of its text. */
static size_t number_at(const char *line, int64_t *ret)
{
	size_t n = 1;
	int64_t v = 0;

	*ret = 0;
	if ((*line != '+' && *line != '-') || line[1] < '0' || line[1] > '9')
		return 0;
	for (; line[n] >= '0' && line[n] <= '9'; n++)
		if (v <= OFFSET_MAX)
			v = 10 * v + (line[n] - '0');
	*ret = *line == '-' ? -v : v;
	return n;
}

/*
 * The number at @line, without a sign: "N". @power: 2 to the power of N. The length of its text;
 * 0: there is none, or it is too large.
 */
static size_t plain_at(const char *line, bool power, int64_t *ret)
{
	size_t n = 0;
	int64_t v = 0;

	for (; line[n] >= '0' && line[n] <= '9'; n++)
		if (v <= OFFSET_MAX)
			v = 10 * v + (line[n] - '0');
	if (v > (power ? 20 : OFFSET_MAX))
		return 0;
	*ret = power ? 1L << v : v;
	return n;
}

/*
 * Apply the operation in braces behind @pattern's hole (derive.h). Returns its last character.
 * NULL: a field is not known, or the number cannot be an offset.
 */
static const char *adjust(const struct vl_layout *known, const char *pattern, int64_t *ret)
{
	while (pattern[1] == '{') {
		const char *what = pattern + 2;
		size_t n = strcspn(what, "}"), sign = strspn(what, "+-!/*");
		int32_t field = known_field(known, what + sign, n - sign);

		if (*what == '/') {
			if (*ret % 8)
				return NULL;
			*ret /= 8;
		} else if (*what == '-' && n == 1) {
			*ret = -*ret;
		} else if (*what == '*') {
			*ret *= 2;
		} else if (field == VL_NO_FIELD || (*what == '!' && field == *ret)) {
			return NULL;
		} else if (*what == '+') {
			*ret += field;
		} else if (*what == '-') {
			*ret = field - *ret;
		} else if (*what != '!') {
			*ret -= field;
		}
		pattern += n + 2;
	}
	return pattern;
}

bool vl_derive_match(const struct vl_layout *known, const char *pattern, const char *line,
		     int64_t *ret)
{
	for (; *pattern; pattern++) {
		int64_t at;
		size_t n;

		if (*pattern == '*') {
			do
				if (vl_derive_match(known, pattern + 1, line, ret))
					return true;
			while (*line++);
			return false;
		}
		if (*pattern == '@') {
			uint64_t address;

			if (strncmp(line, "0x", 2) != 0 ||
			    !vl_take_u64(&line, 16, UINT64_MAX, &address))
				return false;
			*ret = (int64_t)address;
			pattern = adjust(known, pattern, ret);
			if (!pattern)
				return false;
		} else if (*pattern == '#' || *pattern == '!') {
			line += number_at(line, ret);
			if (*pattern == '!' && !*ret)
				return false;
			pattern = adjust(known, pattern, ret);
			if (!pattern)
				return false;
		} else if (*pattern == '$' || *pattern == '~') {
			n = plain_at(line, *pattern == '~', ret);
			if (!n)
				return false;
			line += n;
			pattern = adjust(known, pattern, ret);
			if (!pattern)
				return false;
		} else if (*pattern == '<' && pattern[1] >= 'A' && pattern[1] <= 'Z') {
			int32_t field;

			n = strcspn(pattern, ">");
			field = known_field(known, pattern + 1, n - 1);
			line += number_at(line, &at);
			if (field == VL_NO_FIELD || at != field)
				return false;
			pattern += n;
		} else if (*pattern != *line++) {
			return false;
		}
	}
	return !*line;
}

/* Where "L8[…", whose "]" is the last of @text, begins; @len if it is no such. */
static size_t load_before(const char *text, size_t len)
{
	unsigned depth = 0;

	for (size_t i = len; i-- > 2;) {
		depth += text[i] == ']';
		if (text[i] == '[' && !--depth)
			return !memcmp(text + i - 2, "L8", 2) ? i - 2 : len;
	}
	return len;
}

bool vl_derive_for_up(const char *pattern, char ret[VL_TRACE_LINE])
{
	size_t len = 0;

	for (; *pattern; pattern++) {
		if (len + 1 >= VL_TRACE_LINE)
			return false;
		if (*pattern == '%' && len > 4 && !memcmp(ret + len - 2, "]+", 2) &&
		    load_before(ret, len - 1) < len - 1)
			len = load_before(ret, len - 1);
		ret[len++] = *pattern == '%' ? '&' : *pattern;
	}
	ret[len] = '\0';
	return true;
}

/* --- witnesses --- */

/* The results of the witnesses of one field. */
enum said { SAID_NOTHING, SAID_ONE, SAID_TWO };

struct derivation {
	const struct vl_kernel *k;
	const struct vl_text *text;
	bool up;
	const struct vl_witness *asked; /* those of one function */
	size_t nr_asked;
	struct vl_layout known; /* in this round */
	int32_t next[VL_NR_DERIVED];
	enum said said[VL_NR_DERIVED];
};

static void hear(struct derivation *d, int field, int64_t offset)
{
	if (offset < 0 || offset > OFFSET_MAX) {
		d->said[field] = SAID_TWO;
	} else if (d->said[field] == SAID_NOTHING) {
		d->said[field] = SAID_ONE;
		d->next[field] = (int32_t)offset;
	} else if (d->next[field] != offset) {
		d->said[field] = SAID_TWO;
	}
}

static void take_line(void *ctx, const char *line)
{
	struct derivation *d = ctx;

	for (size_t i = 0; i < d->nr_asked; i++) {
		const char *pattern = d->asked[i].pattern;
		char for_up[VL_TRACE_LINE];
		int64_t offset = 0;

		if (d->up && strchr(pattern, '%') && vl_derive_for_up(pattern, for_up))
			pattern = for_up;
		if (vl_derive_match(&d->known, pattern, line, &offset))
			hear(d, d->asked[i].field, offset);
	}
}

/* Code of the kernel's start is freed when it runs. */
static bool is_freed(const struct vl_kernel *k, uint64_t va)
{
	return va >= vl_symbol(k, "__init_begin") && va < vl_symbol(k, "__init_end");
}

/* Ask the witnesses in all functions of that name: static ones of different files can share it. */
static void ask(struct derivation *d)
{
	const char *name = d->asked->function;
	uint64_t va;

	for (size_t n = 0; (va = vl_symbol_nth(d->k, name, n)); n++)
		if (!is_freed(d->k, va))
			vl_trace(d->k, d->text, d->known.offset[VL_F_HOT_TASK], false, va,
				 take_line, d);
}

/* The number of witnesses in @list, of @nr, that have the function of the first. */
static size_t group(const struct vl_witness *list, size_t nr)
{
	size_t n = 1;

	while (n < nr && !strcmp(list[n].function, list->function))
		n++;
	return n;
}

static struct vl_error *ask_table(struct derivation *d, const struct vl_witnesses *table,
				  struct vl_deadline deadline)
{
	for (size_t i = 0; i < table->nr; i += d->nr_asked) {
		if (vl_late(deadline))
			return vl_error_new(VL_ERR_FAULT,
					    "it takes too long to derive the kernel's types");
		d->asked = &table->list[i];
		d->nr_asked = group(d->asked, table->nr - i);
		ask(d);
	}
	return NULL;
}

/* After a round: take over the offsets that it has found. True: one is new, or differs. */
static bool conclude(struct derivation *d)
{
	bool changed = false;

	/* enum node_stat_item has the order of enum lru_list, include/linux/mmzone.h. */
	d->said[VL_F_NODE_ACTIVE_FILE] = d->said[VL_F_NODE_INACTIVE_FILE];
	d->next[VL_F_NODE_ACTIVE_FILE] = d->next[VL_F_NODE_INACTIVE_FILE] + 1;
	/* enum psi_states, include/linux/psi_types.h: full is the one behind some. */
	d->said[VL_F_PSI_IO_FULL] = d->said[VL_F_PSI_IO_SOME];
	d->next[VL_F_PSI_IO_FULL] = d->next[VL_F_PSI_IO_SOME] + 1;
	d->said[VL_F_PSI_MEM_FULL] = d->said[VL_F_PSI_MEM_SOME];
	d->next[VL_F_PSI_MEM_FULL] = d->next[VL_F_PSI_MEM_SOME] + 1;
	/* "kernfs: Use RCU to access kernfs_node::parent" (6.15): a kernel has one of the two. */
	if (d->said[VL_F_KN_PARENT_RCU] == SAID_ONE)
		d->said[VL_F_KN_PARENT] = SAID_NOTHING;
	for (int i = 0; i < VL_NR_DERIVED; i++) {
		int32_t *at = i < VL_NR_FIELDS ? &d->known.offset[i] : &d->known.timekeeper;
		int32_t was = *at;

		*at = d->said[i] == SAID_ONE ? d->next[i] : VL_NO_FIELD;
		changed = changed || *at != was;
	}
	return changed;
}

/* Fields that follow from another one, because the structure is part of the ABI. */
static void add_sums(struct vl_layout *l)
{
	/* struct new_utsname, include/uapi/linux/utsname.h: six names of 65 bytes */
	static const enum vl_field uts[] = { VL_F_UTS_SYSNAME, VL_F_UTS_NODENAME,
					     VL_F_UTS_RELEASE, VL_F_UTS_VERSION,
					     VL_F_UTS_MACHINE, VL_F_UTS_DOMAINNAME };
	int32_t first = VL_NO_FIELD;

	for (int32_t i = 0; i < (int32_t)ARRAY_SIZE(uts); i++) {
		int32_t at = l->offset[uts[i]] - 65 * i;

		if (!vl_has(l, uts[i]))
			continue;
		/* The witnesses contradict each other: none of the fields is known. */
		if (at < 0 || (first != VL_NO_FIELD && at != first)) {
			for (size_t j = 0; j < ARRAY_SIZE(uts); j++)
				l->offset[uts[j]] = VL_NO_FIELD;
			return;
		}
		first = at;
	}
	for (int32_t i = 0; first != VL_NO_FIELD && i < (int32_t)ARRAY_SIZE(uts); i++)
		l->offset[uts[i]] = first + 65 * i;
}

struct vl_error *vl_derive_by(const struct vl_kernel *k, const struct vl_text *text,
			      const struct vl_witnesses *tables, size_t nr,
			      struct vl_deadline deadline, struct vl_layout *ret)
{
	_cleanup_free_ struct derivation *d = calloc(1, sizeof(*d));
	struct vl_error *err = NULL;
	bool changed = true;

	if (!d)
		return vl_error_nomem();
	d->k = k;
	d->text = text;
	d->up = vl_kernel_is_up(k);
	for (int i = 0; i < VL_NR_FIELDS; i++)
		d->known.offset[i] = VL_NO_FIELD;
	d->known.timekeeper = VL_NO_FIELD;
	for (unsigned round = 0; !err && changed && round < ROUNDS; round++) {
		for (size_t i = 0; !err && i < nr; i++)
			err = ask_table(d, &tables[i], deadline);
		changed = conclude(d);
	}
	add_sums(&d->known);
	*ret = d->known;
	ret->derived = 1;
	return err;
}

struct vl_error *vl_derive(const struct vl_kernel *k, const struct vl_text *text,
			   struct vl_deadline deadline, struct vl_layout *ret)
{
	return vl_derive_by(k, text, vl_witnesses, ARRAY_SIZE(vl_witnesses), deadline, ret);
}

uint64_t vl_derive_hash(void)
{
	uint64_t hash = VL_HASH;

	for (size_t i = 0; i < ARRAY_SIZE(vl_witnesses); i++)
		for (size_t j = 0; j < vl_witnesses[i].nr; j++) {
			const struct vl_witness *w = &vl_witnesses[i].list[j];

			hash = vl_hash(hash, &w->field, sizeof(w->field));
			hash = vl_hash(hash, w->function, strlen(w->function) + 1);
			hash = vl_hash(hash, w->pattern, strlen(w->pattern) + 1);
		}
	return hash;
}
