/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What doctor finds in a guest's memory, and which raw engine reads it: rows of
 * vl_doctor_columns. That Unicorn can be loaded is taken for granted.
 */
#ifndef VLENS_CHECKUP_H
#define VLENS_CHECKUP_H

#include "../view/scan.h"
#include "doctor.h"

#define VL_CHECKUP_VMST "engine vmst"
#define VL_CHECKUP_PROGRAMS "programs"

extern const struct vl_scan vl_scan_checkup;

#endif
