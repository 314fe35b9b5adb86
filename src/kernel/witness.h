/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where fields show themselves in the kernel's code, by subject; see struct vl_witness. */
#ifndef VLENS_KERNEL_WITNESS_H
#define VLENS_KERNEL_WITNESS_H

#include "witness-files.h"
#include "witness-kernel.h"
#include "witness-mm.h"
#include "witness-modules.h"
#include "witness-net.h"
#include "witness-task.h"
#include "witness-time.h"

static const struct vl_witnesses vl_witnesses[] = {
	VL_WITNESSES(vl_witness_task),	  VL_WITNESSES(vl_witness_mm),
	VL_WITNESSES(vl_witness_files),	  VL_WITNESSES(vl_witness_net),
	VL_WITNESSES(vl_witness_modules), VL_WITNESSES(vl_witness_time),
	VL_WITNESSES(vl_witness_kernel),
};

#endif
