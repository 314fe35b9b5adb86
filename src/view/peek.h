/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The values in a place, passed one by one to callbacks that show them, in the thread of the call.
 */
#ifndef VLENS_PEEK_H
#define VLENS_PEEK_H

#include "types.h"

struct vl_value {
	enum {
		VL_VALUE_INT,	  /* i */
		VL_VALUE_UINT,	  /* u */
		VL_VALUE_BOOL,	  /* u */
		VL_VALUE_POINTER, /* u; text: the symbol it points to, or NULL; offset in it */
		VL_VALUE_ENUM,	  /* i; text: its name, or NULL */
		VL_VALUE_STRING,  /* text, of len bytes: the guest's */
		VL_VALUE_FAULT,	  /* u: an address that cannot be read; text: the reason */
		VL_VALUE_OTHER,	  /* text: a type that has no value */
	} kind;
	union {
		uint64_t u;
		int64_t i;
	};
	uint64_t offset;
	const char *text;
	size_t len;
};

/* @name is NULL for elements of an array and for members without name. */
struct vl_peek_ops {
	void (*value)(void *ctx, const char *name, const struct vl_value *v);
	/* A structure or array begins. @at: the pointer that leads to it, or NULL. */
	void (*open)(void *ctx, const char *name, const char *type, bool array,
		     const struct vl_value *at);
	void (*close)(void *ctx, bool array);
	/* @left elements of the array are not shown. */
	void (*more)(void *ctx, uint64_t left);
};

/* A place, as found. */
struct vl_peek_found {
	uint64_t va, size;	 /* size: of one of them */
	char type[VL_TYPE_NAME]; /* the guest's */
	uint32_t typed;		 /* 0: it has no type, only bytes */
};

/* Limit of the bytes of one place. */
#define VL_PEEK_MAX (64U << 20)

/*
 * Show the values in @place, which has a type. VL_ERR_FAULT when it cannot be read; then
 * nothing was shown. A pointer's target that cannot be read is shown as VL_VALUE_FAULT.
 */
struct vl_error *vl_peek_show(struct vl_types *t, const struct vl_lvalue *place,
			      const struct vl_peek_ops *ops, void *ctx);

#endif
