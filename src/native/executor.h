/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The executor that runs the guest's kernel as rewritten code. */
#ifndef VLENS_NATIVE_EXECUTOR_H
#define VLENS_NATIVE_EXECUTOR_H

#include "../vcpu/vcpu.h"

extern const struct vl_executor_ops vl_executor_native;

/* Why this host cannot run rewritten code of a kernel with @st's cr4; NULL: it can. */
const char *vl_native_unfit(const struct vl_vcpu_state *st);

#endif
