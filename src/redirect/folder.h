/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may be changed on the host. */
#ifndef VLENS_REDIRECT_FOLDER_H
#define VLENS_REDIRECT_FOLDER_H

#include <stdint.h>

#include "rows.h"

void vl_folder_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
int vl_folder_change(struct vl_trap *t, const struct vl_where *other);

#endif
