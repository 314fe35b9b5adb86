/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The BPF program, made of the tables (rows.h). */
#ifndef VLENS_REDIRECT_FILTER_H
#define VLENS_REDIRECT_FILTER_H

#include <linux/filter.h>
#include <stdint.h>

struct vl_redirect_filter {
	uint32_t nr;
	struct sock_filter *insns;
};

#endif
