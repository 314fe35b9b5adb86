/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The examination of a guest's memory, and of the raw engines that read it: rows of
 * vl_doctor_columns. Unicorn must be loadable.
 */
#ifndef VLENS_CHECKUP_H
#define VLENS_CHECKUP_H

#include "../view/scan.h"
#include "doctor.h"

#define VL_CHECKUP_VMST "engine vmst"
#define VL_CHECKUP_PROGRAMS "programs"

extern const struct vl_scan vl_scan_checkup;

#endif
