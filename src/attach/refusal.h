/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel that is not understood is examined only once: the next tools on the same run get the
 * same error at once. It is bound to the code of the page-fault handler that all vCPUs use, so it
 * is forgotten when the guest runs another kernel.
 */
#ifndef VLENS_REFUSAL_H
#define VLENS_REFUSAL_H

#include "../host/target.h"

/* The error that was kept for the kernel that @t runs; NULL: there is none. Reads registers. */
struct vl_error *vl_refusal_find(struct vl_target *t);

/* Keep @err, which is VL_ERR_KERNEL, for the kernel that @t runs. A failure is ignored. */
void vl_refusal_keep(struct vl_target *t, const struct vl_error *err);

/* Forget all that were kept, of any guest: types were added, so a kernel may be understood now. */
void vl_refusal_forget_all(void);

#endif
