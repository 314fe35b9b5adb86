/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <stdio.h>
#include <string.h>

#include "../vmst/contact.h"
#include "../vmst/pulse.h"

struct look {
	const struct vl_target_info *info;
	const struct vl_fate *fate;
	const struct vl_error *why;
};

static bool is_stopped(const struct look *l)
{
	return !strcmp(l->info->state, VL_TARGET_STOPPED);
}

/* Paused, shut down, crashed to its own knowledge: then nothing runs. */
static bool says_so(const struct look *l)
{
	return l->info->state[0] && strcmp(l->info->state, "running");
}

static bool is_firmware(const struct look *l)
{
	return l->why && l->why->code == VL_ERR_FIRMWARE;
}

static bool is_booting(const struct look *l)
{
	return l->why && l->why->code == VL_ERR_BOOTING;
}

static bool captures(const struct look *l)
{
	return l->fate->captures;
}

static bool panicked(const struct look *l)
{
	return l->fate->crashed;
}

/* The first that holds. `word` NULL: the hypervisor's. */
static const struct state {
	bool (*holds)(const struct look *l);
	const char *word, *means;
} states[] = {
	{ is_stopped, NULL, "its hypervisor is stopped by a signal (SIGSTOP)" },
	{ says_so, NULL, "" },
	{ captures, "crashed", "its capture kernel (kdump) runs" },
	{ panicked, "crashed", "its kernel has panicked" },
	{ is_firmware, "firmware", "in its firmware or boot loader: no kernel runs" },
	{ is_booting, "booting", "its kernel is not up yet" },
};

void vl_state_of(const struct vl_target_info *info, const struct vl_fate *fate,
		 const struct vl_error *why, struct vl_state *ret)
{
	const struct look look = { info, fate, why };
	const char *word = info->state, *means = "";

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (!states[i].holds(&look))
			continue;
		word = states[i].word ? states[i].word : word;
		means = states[i].means;
		break;
	}
	snprintf(ret->word, sizeof(ret->word), "%s", word);
	snprintf(ret->means, sizeof(ret->means), "%s", means);
}

void vl_subject_state(struct vl_subject *s, struct vl_state *ret)
{
	const struct vl_fate fate = {
		s->contact && vl_pulse_captures(s->contact),
		s->contact && vl_pulse_crashed(s->contact),
	};
	struct vl_target_info info;

	vl_target_info(s->target, &info);
	vl_target_rest(s->target);
	vl_state_of(&info, &fate, s->why, ret);
}

struct vl_error *vl_subject_runs(struct vl_subject *s, bool *ret)
{
	struct vl_error *err;

	*ret = vl_reader_current(s->reader);
	if (!*ret || !s->contact)
		return NULL;
	err = vl_pulse_look(s->contact, ret);
	vl_target_rest(s->target);
	return err;
}
