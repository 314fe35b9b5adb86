/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/library.h"
#include "../base/transfer.h"

/* The functions we use, by libdw's names without "dwarf_". */
#define FUNCTIONS(F) \
	F(begin) \
	F(end) \
	F(nextcu) \
	F(offdie) \
	F(child) \
	F(siblingof) \
	F(tag) \
	F(diename) \
	F(attr) \
	F(hasattr) \
	F(formudata) \
	F(formref_die) \
	F(peel_type) \
	F(aggregate_size) \
	F(errmsg)

struct api {
#define F(name) __typeof__(&dwarf_##name) name;
	FUNCTIONS(F)
#undef F
};

/* Members without a name that nest in each other; the kernel's nest 4 deep. */
#define DEPTH_MAX 16

struct search {
	struct api api;
	bool done[VL_NR_FIELDS]; /* the row's type was found */
	bool odd;		 /* a form that is not understood */
	struct vl_layout *layout;
};

static struct vl_error *load(struct api *ret)
{
	static const struct vl_library library = {
		.file = "libdw.so.1",
		.name = "libdw, which reads DWARF",
		.hint = "install libdw (on Debian: libdw1)",
	};
#define F(name) "dwarf_" #name,
	static const char *const names[] = { FUNCTIONS(F) };
#undef F

	return vl_library_load(&library, names, ARRAY_SIZE(names), ret);
}

/* The number in attribute @name of @die, if it has one. An odd form is noted. */
static bool number(struct search *s, Dwarf_Die *die, unsigned name, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word word;

	if (!s->api.attr(die, name, &attr))
		return false;
	if (s->api.formudata(&attr, &word)) {
		s->odd = true;
		return false;
	}
	*ret = word;
	return true;
}

/* The offset of member @die in its structure, in bits. */
static uint64_t member_bit(struct search *s, Dwarf_Die *die)
{
	uint64_t at = 0;

	if (number(s, die, DW_AT_data_bit_offset, &at))
		return at;
	/* DWARF before 4 counts a bitfield from the end of its unit. */
	if (s->api.hasattr(die, DW_AT_bit_offset))
		s->odd = true;
	/* A union's members have no offset. */
	number(s, die, DW_AT_data_member_location, &at);
	return at > INT32_MAX ? UINT64_MAX / 16 : 8 * at;
}

/* The type of @die without its typedefs and qualifiers. */
static bool type_of(struct search *s, Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die type;

	return s->api.attr(die, DW_AT_type, &attr) && s->api.formref_die(&attr, &type) &&
	       !s->api.peel_type(&type, ret);
}

/* Find member @name, its first @len bytes, of @die, also in members without a name. */
static bool find_member(struct search *s, Dwarf_Die *die, const char *name, size_t len,
			unsigned depth, uint64_t *bit_ret, Dwarf_Die *type_ret)
{
	Dwarf_Die m;

	if (!depth || s->api.child(die, &m))
		return false;
	do {
		const char *is = s->api.diename(&m);

		if (s->api.tag(&m) != DW_TAG_member || !type_of(s, &m, type_ret))
			continue;
		*bit_ret = 0;
		if (is && !strncmp(is, name, len) && !is[len]) {
			*bit_ret = member_bit(s, &m);
			return true;
		}
		if (!is) {
			Dwarf_Die inner = *type_ret;

			if (find_member(s, &inner, name, len, depth - 1, bit_ret, type_ret)) {
				*bit_ret += member_bit(s, &m);
				return true;
			}
		}
	} while (!s->api.siblingof(&m, &m));
	return false;
}

static int32_t field_offset(struct search *s, const Dwarf_Die *type, const char *path)
{
	Dwarf_Die die = *type;
	uint64_t bits = 0, bit;
	Dwarf_Word size;

	if (!*path)
		return !s->api.aggregate_size(&die, &size) && size <= INT32_MAX ? (int32_t)size :
										  VL_NO_FIELD;
	while (*path) {
		size_t len = strcspn(path, ".");
		Dwarf_Die inner;

		if (!find_member(s, &die, path, len, DEPTH_MAX, &bit, &inner))
			return VL_NO_FIELD;
		bits += bit;
		die = inner;
		path += len + (path[len] == '.');
	}
	return bits / 8 <= INT32_MAX ? (int32_t)(bits / 8) : VL_NO_FIELD;
}

static int32_t enumerator(struct search *s, Dwarf_Die *die, const char *name)
{
	uint64_t value;
	Dwarf_Die e;

	if (s->api.child(die, &e))
		return VL_NO_FIELD;
	do {
		const char *is = s->api.diename(&e);

		if (is && !strcmp(is, name) && number(s, &e, DW_AT_const_value, &value) &&
		    value <= INT32_MAX)
			return (int32_t)value;
	} while (!s->api.siblingof(&e, &e));
	return VL_NO_FIELD;
}

/* Take the fields that @die, a type, has. */
static void take_type(struct search *s, Dwarf_Die *die)
{
	const bool is_enum = s->api.tag(die) == DW_TAG_enumeration_type;
	const char *is;

	if ((!is_enum && s->api.tag(die) != DW_TAG_structure_type) ||
	    s->api.hasattr(die, DW_AT_declaration))
		return;
	is = s->api.diename(die);
	for (int i = 0; is && i < VL_NR_FIELDS; i++) {
		const char *type, *path;

		if (s->done[i])
			continue;
		vl_field_name((enum vl_field)i, &type, &path);
		if (!strncmp(type, "enum ", 5) != is_enum || strcmp(type + 5 * is_enum, is) != 0)
			continue;
		s->done[i] = true;
		s->layout->offset[i] =
			is_enum ? enumerator(s, die, path) : field_offset(s, die, path);
	}
}

/* Go through all types of all units. False: there is no unit. */
static bool each_type(struct search *s, Dwarf *dwarf)
{
	Dwarf_Off at = 0, next;
	size_t head;
	bool any = false;

	for (; !s->api.nextcu(dwarf, at, &next, &head, NULL, NULL, NULL) && next > at; at = next) {
		Dwarf_Die unit, die;

		if (!s->api.offdie(dwarf, at + head, &unit) || s->api.child(&unit, &die))
			continue;
		any = true;
		do
			take_type(s, &die);
		while (!s->api.siblingof(&die, &die));
	}
	return any;
}

/* libdw opens a file by itself, because it may use another libelf than we do. */
static int file_of(const unsigned char *bytes, size_t len)
{
	int fd = memfd_create("vlens-dwarf", MFD_CLOEXEC);

	if (fd >= 0 && !vl_put_whole(fd, bytes, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

struct vl_error *vl_layout_from_dwarf(const void *elf, size_t len, struct vl_layout *ret)
{
	struct search s = { .layout = ret };
	struct vl_error *err = load(&s.api);
	_cleanup_close_ int fd = -1;
	Dwarf *dwarf;
	bool any;

	if (err)
		return err;
	fd = file_of(elf, len);
	if (fd < 0)
		return vl_error_os(errno, "cannot make a file in memory");
	dwarf = s.api.begin(fd, DWARF_C_READ);
	if (!dwarf)
		return vl_error_new(VL_ERR_ARG, "its DWARF cannot be read: %s", s.api.errmsg(-1));
	memset(ret, 0xff, sizeof(*ret)); /* VL_NO_FIELD */
	any = each_type(&s, dwarf);
	s.api.end(dwarf);
	if (!any)
		return vl_error_new(VL_ERR_ARG, "its DWARF has no types");
	if (s.odd)
		return vl_error_new(VL_ERR_ARG, "its DWARF has a form that is not understood");
	return vl_layout_end(ret);
}
