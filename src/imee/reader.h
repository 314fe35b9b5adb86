/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader's internal header. */
#ifndef VLENS_IMEE_READER_H
#define VLENS_IMEE_READER_H

#include "engine.h"

#define NR_ENGINES 3

struct vl_reader {
	struct vl_raw *engine;
	const struct vl_raw_ops *ops;
	struct vl_raw *walker; /* a direct engine for vl_reader_where(); NULL: not yet needed */
	struct vl_target *target;
	const struct vl_attach *attach;
	struct vl_space kernel;
	uint64_t fault, requests, open_ns;
	bool named; /* the engine was asked for by its name */
	/* Each engine's rank and reason, asked when it is needed. */
	bool asked[NR_ENGINES];
	int rank[NR_ENGINES];
	char why[NR_ENGINES][VL_RAW_WHY];
	char reason[VL_RAW_WHY];
	char others[(NR_ENGINES - 1) * (VL_RAW_WHY + 16)]; /* why the others were not taken */
};

#endif
