/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Examinations: what of a host, and of a guest, lets vlens work or keeps it from
 * it, one row each, with what to do about it.
 */
#ifndef VLENS_DOCTOR_H
#define VLENS_DOCTOR_H

#include "../error.h"
#include "../view/table.h"

enum vl_doctor_state {
	VL_DOCTOR_OK,
	VL_DOCTOR_WARNING, /* something is missing that can be done without */
	VL_DOCTOR_PROBLEM,
};

/* The columns of the rows. */
enum {
	VL_DOCTOR_AREA, /* "host", "programs", or the guest as it was named */
	VL_DOCTOR_CHECK,
	VL_DOCTOR_STATE, /* "ok", "warning", "problem" */
	VL_DOCTOR_FINDING,
	VL_DOCTOR_ADVICE, /* none when there is nothing to do */
};
extern const struct vl_column vl_doctor_columns[];

struct vl_doctor {
	struct vl_table *table; /* of vl_doctor_columns; the caller's */
	const char *area;	/* of the rows to come */
	unsigned int warnings, problems;
};

/* Add a row; @advice may be NULL. */
void vl_doctor_row(struct vl_doctor *d, const char *check, enum vl_doctor_state state,
		   const char *advice, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The same for what @err says, which stays the caller's. */
void vl_doctor_error(struct vl_doctor *d, const char *check, enum vl_doctor_state state,
		     const struct vl_error *err);

/*
 * Examine this host for this user; libvirt at @uri (NULL: its default). Asks
 * libvirt for its domains; touches no guest.
 */
void vl_doctor_host(struct vl_doctor *d, const char *uri);

#endif
