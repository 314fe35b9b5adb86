/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reader's own files share. */
#ifndef VLENS_IMEE_READER_H
#define VLENS_IMEE_READER_H

#include "engine.h"

struct vl_reader {
	struct vl_raw *engine;
	const struct vl_raw_ops *ops;
	struct vl_raw *walker; /* a direct engine for vl_reader_where(); NULL: not yet needed */
	struct vl_target *target;
	const struct vl_contact *contact;
	struct vl_contact *own; /* the same, if it is to be ended with the reader */
	struct vl_space kernel;
	uint64_t fault, requests, open_ns;
	char reason[VL_RAW_WHY];
	char others[2 * VL_RAW_WHY + 32]; /* of those that were not taken */
};

#endif
