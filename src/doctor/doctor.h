/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Examinations of a host and of a guest: one row for each condition that vlens needs, with
 * advice. A failure is a row, not an error. One thread at a time may add rows.
 */
#ifndef VLENS_DOCTOR_H
#define VLENS_DOCTOR_H

#include "../error.h"
#include "../view/table.h"

enum vl_doctor_state {
	VL_DOCTOR_OK,
	VL_DOCTOR_WARNING, /* something is missing that vlens can do without */
	VL_DOCTOR_PROBLEM,
};

/* The columns of the rows. */
enum {
	VL_DOCTOR_AREA, /* "host", "programs", or the guest as it was named */
	VL_DOCTOR_CHECK,
	VL_DOCTOR_STATE, /* "ok", "warning", "problem" */
	VL_DOCTOR_FINDING,
	VL_DOCTOR_ADVICE, /* none when nothing needs to be done */
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

/* Add a row for @err, which stays the caller's. */
void vl_doctor_error(struct vl_doctor *d, const char *check, enum vl_doctor_state state,
		     const struct vl_error *err);

/*
 * Examine this host for this user, with libvirt at @uri (NULL: its default). It lists libvirt's
 * domains, and touches no guest.
 */
void vl_doctor_host(struct vl_doctor *d, const char *uri);

#endif
