/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <stdio.h>
#include <string.h>

#include "../base/array.h"

struct facts {
	const struct vl_target_info *info;
	const struct vl_fate *fate;
	const struct vl_error *why;
};

static bool is_stopped(const struct facts *l)
{
	return !strcmp(l->info->state, VL_TARGET_STOPPED);
}

/* Does the hypervisor report that it is paused, shut down or crashed? Then nothing runs. */
static bool says_so(const struct facts *l)
{
	return l->info->state[0] && strcmp(l->info->state, "running");
}

static bool is_firmware(const struct facts *l)
{
	return l->why && l->why->code == VL_ERR_FIRMWARE;
}

static bool is_booting(const struct facts *l)
{
	return l->why && l->why->code == VL_ERR_BOOTING;
}

static bool is_down(const struct facts *l)
{
	return l->why && l->why->code == VL_ERR_DOWN;
}

static bool captures(const struct facts *l)
{
	return l->fate->captures;
}

static bool panicked(const struct facts *l)
{
	return l->fate->crashed;
}

/* The first row that holds counts. `word` NULL: the hypervisor's. */
static const struct state {
	bool (*holds)(const struct facts *l);
	const char *word, *means;
} states[] = {
	{ is_stopped, NULL, "its hypervisor is stopped by a signal (SIGSTOP)" },
	{ says_so, NULL, "" },
	{ captures, "crashed", "its capture kernel (kdump) runs" },
	{ panicked, "crashed", "its kernel has panicked" },
	{ is_firmware, "firmware", "in its firmware or boot loader: no kernel runs" },
	{ is_booting, "booting", "its kernel is not up yet" },
	{ is_down, "crashed", "its kernel has crashed, and no other one is up" },
};

void vl_state_of(const struct vl_target_info *info, const struct vl_fate *fate,
		 const struct vl_error *why, struct vl_state *ret)
{
	const struct facts facts = { info, fate, why };
	const char *word = info->state, *means = "";

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (!states[i].holds(&facts))
			continue;
		word = states[i].word ? states[i].word : word;
		means = states[i].means;
		break;
	}
	snprintf(ret->name, sizeof(ret->name), "%s", info->name);
	snprintf(ret->word, sizeof(ret->word), "%s", word);
	snprintf(ret->means, sizeof(ret->means), "%s", means);
}
