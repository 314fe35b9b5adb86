/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of types: a kernel's, and those that a hostile guest makes up. */
#include <bpf/btf.h>
#include <string.h>

#include "kernel/btf.h"
#include "tap.h"
#include "view/types.h"

/* struct outer { int a; struct { int b; const struct { int c; int d : 3; }; }; }; */
static struct btf *make(int *outer_ret)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), inner, between, fixed;

	inner = btf__add_struct(btf, "", 8);
	btf__add_field(btf, "c", number, 0, 0);
	btf__add_field(btf, "d", number, 37, 3);
	fixed = btf__add_const(btf, inner);
	between = btf__add_struct(btf, "", 12);
	btf__add_field(btf, "b", number, 0, 0);
	btf__add_field(btf, "", fixed, 32, 0);
	*outer_ret = btf__add_struct(btf, "outer", 16);
	btf__add_field(btf, "a", number, 0, 0);
	btf__add_field(btf, "", between, 32, 0);
	/* Two that a guest can make up: one has itself for a member, a typedef names itself. */
	btf__add_struct(btf, "nested", 4);
	btf__add_field(btf, "", *outer_ret + 1, 0, 0);
	btf__add_field(btf, "", *outer_ret + 1, 0, 0);
	btf__add_typedef(btf, "endless", *outer_ret + 2);
	/* Also two pointers to each other, and an array of itself. */
	btf__add_ptr(btf, *outer_ret + 4);
	btf__add_ptr(btf, *outer_ret + 3);
	btf__add_array(btf, number, *outer_ret + 5, 3);
	return btf;
}

static bool is_at(const struct btf *btf, int type, const char *name, uint64_t bit, uint32_t bits)
{
	struct vl_btf_member m;

	return vl_btf_find_member(btf, btf__type_by_id(btf, (uint32_t)type), name, strlen(name),
				  &m) &&
	       m.bit == bit && m.bits == bits && m.type == 1;
}

/* Is the name of type @id, which repeats @part, finite? */
static bool ends(struct btf *btf, int id, const char *part)
{
	const struct vl_types t = { .btf = btf };
	char name[VL_TYPE_NAME];

	vl_types_name(&t, (uint32_t)id, name);
	return memchr(name, 0, sizeof(name)) && strstr(name, part);
}

/* An enum of 64 bits, which not every libbpf can make. */
struct wide {
	struct btf_type type;
	struct {
		uint32_t name_off, lo, hi;
	} values[2];
};

static bool has_value(const struct btf *btf, const struct btf_type *type, unsigned i,
		      const char *name, int64_t value)
{
	struct vl_btf_value v;

	return vl_btf_value(btf, type, i, &v) && !strcmp(v.name, name) && v.value == value;
}

static void test_enums(void)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int id = btf__add_enum(btf, "small", 4);
	const struct btf_type *small;
	struct vl_btf_value v;
	const struct wide wide = {
		.type = { .info = 19U << 24 | 2, .size = 8 },
		.values = { { (uint32_t)btf__add_str(btf, "ONE"), 1, 0 },
			    { (uint32_t)btf__add_str(btf, "TOP"), 5, 1U << 31 } },
	};

	btf__add_enum_value(btf, "ZERO", 0);
	btf__add_enum_value(btf, "LESS", -1);
	small = btf__type_by_id(btf, (uint32_t)id);
	ok(has_value(btf, small, 0, "ZERO", 0) && has_value(btf, small, 1, "LESS", -1),
	   "the values of an enum");
	ok(!vl_btf_value(btf, small, 2, &v), "it has no more");
	ok(has_value(btf, &wide.type, 0, "ONE", 1) &&
		   has_value(btf, &wide.type, 1, "TOP", INT64_MIN + 5),
	   "those of one with 64 bits");
	ok(!vl_btf_value(btf, &wide.type, 2, &v), "it has no more");
	ok(vl_btf_is_enum(small) && vl_btf_is_enum(&wide.type) &&
		   !vl_btf_is_enum(btf__type_by_id(btf, (uint32_t)number)),
	   "both are enums, and an int is none");
	btf__free(btf);
}

int main(void)
{
	struct vl_btf_member m;
	struct vl_error *err;
	struct btf *btf;
	uint32_t id;
	int outer;

	btf = make(&outer);
	ok(is_at(btf, outer, "a", 0, 0), "a member");
	ok(is_at(btf, outer, "b", 32, 0) && is_at(btf, outer, "c", 64, 0),
	   "one of an anonymous structure, and of one in that, which is const");
	ok(is_at(btf, outer, "d", 64 + 37, 3), "a bitfield");
	ok(!is_at(btf, outer, "e", 0, 0) && !is_at(btf, 1, "a", 0, 0) &&
		   !vl_btf_find_member(btf, NULL, "a", 1, &m),
	   "none of that name, none of an int, none of no type");
	ok(vl_btf_find_member(btf, btf__type_by_id(btf, (uint32_t)outer), "abc", 1, &m) &&
		   !vl_btf_find_member(btf, btf__type_by_id(btf, (uint32_t)outer), "abc", 2, &m),
	   "a name is as long as is said");
	ok(!is_at(btf, outer + 1, "a", 0, 0), "a structure within itself has an end");
	ok(!vl_btf_resolve(btf, (uint32_t)outer + 2, &id), "so does a typedef of itself");
	ok(vl_btf_resolve(btf, 3, &id) && id == 2, "a qualifier is of what it qualifies");
	ok(ends(btf, outer + 3, "****"), "the name of pointers to each other has an end");
	ok(ends(btf, outer + 5, "[3][3][3]"), "so does that of an array of itself");
	ok(vl_btf_member(btf, btf__type_by_id(btf, (uint32_t)outer), 1, &m) && !*m.name &&
		   m.bit == 32 && !vl_btf_member(btf, btf__type_by_id(btf, (uint32_t)outer), 2, &m),
	   "members in their order, and no more");
	btf__free(btf);
	test_enums();
	err = vl_btf_open("no types", 8, &btf);
	ok(err && err->code == VL_ERR_KERNEL, "what is no BTF is an error");
	vl_error_destroy(err);
	return tap_end();
}
