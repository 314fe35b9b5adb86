/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Static keys that switch on calls of functions that others have attached. */
#include "../base/array.h"
#include "internal.h"

/* struct jump_entry: two words, then the key, relative to itself, with flags in its low bits. */
#define KEY 8
#define KEY_FLAGS 3UL

/* Variables that are or have such a key. A name that ends in '*' is a prefix. */
static const char *const switches[] = {
	"__tracepoint_*",
	"cgroup_bpf_enabled_key",
	"bpf_sk_lookup_enabled",
};

static bool is_switch(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		size_t n = strcspn(switches[i], "*");

		if (!strncmp(name, switches[i], n) && (switches[i][n] || !name[n]))
			return true;
	}
	return false;
}

const char *vl_trust_switch_at(const struct vl_trust *t, uint64_t va)
{
	size_t at = va - t->va;

	for (size_t i = vl_trust_site_from(t, at); i < t->nr_sites && t->sites[i].at == at; i++) {
		const struct vl_trust_site *s = &t->sites[i];
		size_t word = s->entry + KEY;
		const char *name;
		uint64_t offset;

		if (s->class != VL_TRUST_JUMP_LABEL || !vl_trust_has(t, word, sizeof(uint64_t)))
			continue;
		name = vl_trust_symbol_at(
			t, (t->va + word + vl_trust_u64(t->bytes + word)) & ~KEY_FLAGS, &offset);
		if (name && is_switch(name))
			return name;
	}
	return NULL;
}
