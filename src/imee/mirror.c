/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page table entries in use, mirrored for the processor: see mirror.h. */
#include "mirror.h"

#include <stdlib.h>

/* Set by processors: in the guest's tables by its own, in the mirror by ours. */
#define FLAGS (X86_PTE_A | X86_PTE_D)

struct step {
	uint64_t table, entry;
};

struct vl_error *mirror_init(struct mirror *m, struct vl_direct *walk, mirror_page *pages,
			     uint64_t gpa)
{
	*m = (struct mirror){ .walk = walk, .pages = pages, .gpa = gpa };
	/* The tables' 8 MiB are touched as they are needed. */
	m->tables = calloc(MIRROR_TABLES, sizeof(*m->tables));
	m->entries = calloc(MIRROR_ENTRIES, sizeof(*m->entries));
	m->used = calloc(MIRROR_USED, sizeof(*m->used));
	return m->tables && m->entries && m->used ? NULL : vl_error_nomem();
}

void mirror_deinit(struct mirror *m)
{
	free(m->tables);
	free(m->entries);
	free(m->used);
}

static void clear(struct mirror *m)
{
	memset(m->pages, 0, m->nr_tables * sizeof(*m->pages));
	memset(m->tables, 0, m->nr_tables * sizeof(*m->tables));
	memset(m->hash, 0, sizeof(m->hash));
	m->nr_tables = m->nr_entries = 0;
}

/* The slot of the hash for the table of @key. */
static unsigned slot_of(const struct mirror *m, uint64_t key)
{
	/* Multiplicative hashing, by 2^64 over the golden ratio. */
	unsigned slot = (unsigned)(key * 0x9e3779b97f4a7c15 >> 32) % MIRROR_HASH;

	while (m->hash[slot] && m->tables[m->hash[slot] - 1].key != key)
		slot = (slot + 1) % MIRROR_HASH;
	return slot;
}

/* The mirror of the table at @gpa of @level: its number, or -1 and why in *@st. */
static int table(struct mirror *m, uint64_t gpa, int level, enum vl_read_status *st)
{
	uint64_t key = gpa | (uint64_t)level;
	unsigned slot = slot_of(m, key);
	const unsigned char *live;

	if (m->hash[slot])
		return m->hash[slot] - 1;
	live = direct_host(m->walk, gpa, st);
	if (!live)
		return -1;
	if (!direct_stays(m->walk, gpa)) {
		*st = MIRROR_FULL;
		return -1;
	}
	if (m->nr_tables == MIRROR_TABLES) {
		*st = MIRROR_FULL;
		return -1;
	}
	m->tables[m->nr_tables].key = key;
	m->tables[m->nr_tables].live = (const volatile uint64_t *)(const void *)live;
	m->hash[slot] = (uint16_t)++m->nr_tables;
	return (int)m->nr_tables - 1;
}

/* The entries that translate @va, by level; that of level *@leaf_ret is the leaf. */
static enum vl_read_status translate(struct mirror *m, const struct vl_space *s, uint64_t va,
				     struct step path[6], int *leaf_ret)
{
	enum vl_read_status st = VL_READ_NO_RAM;
	uint64_t e = s->root;
	int level = s->levels;

	if (!vl_canonical(va, s->levels))
		return VL_READ_NONCANONICAL;
	for (;; level--) {
		path[level].table = e & X86_PTE_ADDR;
		if (!direct_entry(m->walk, e, va, level, &e, &st))
			return st;
		path[level].entry = e;
		if (level == 1)
			break;
		if (!(e & X86_PTE_PS))
			continue;
		if (level > 3 || e & LEAF_RESERVED(1UL << (12 + 9 * (level - 1))))
			return VL_READ_RESERVED;
		break;
	}
	*leaf_ret = level;
	return VL_READ_OK;
}

/* Record @entry as the guest's entry @index of table @t; the processor sees @as. */
static enum vl_read_status fill(struct mirror *m, unsigned t, unsigned index, uint64_t entry,
				uint64_t as)
{
	uint64_t *known = &m->tables[t].known[index];
	uint32_t id = t << 9 | index;

	entry &= ~FLAGS;
	if (*known != entry) {
		/*
		 * The running processor may have the old entry cached, and the agent must stay
		 * in place.
		 */
		if (*known && m->running) {
			m->changed = true;
			return VL_READ_NOT_PRESENT;
		}
		if (!*known) {
			if (m->nr_entries == MIRROR_ENTRIES)
				return MIRROR_FULL;
			m->entries[m->nr_entries++] = id;
		}
		*known = entry;
		__atomic_store_n(&m->pages[t][index], as & ~FLAGS, __ATOMIC_RELEASE);
	}
	if (m->all)
		return VL_READ_OK;
	if (m->nr_used == MIRROR_USED)
		m->all = true;
	else
		m->used[m->nr_used++] = id;
	return VL_READ_OK;
}

/*
 * Remove stale entries for @va, which the guest does not map, or maps to our own memory: the
 * processor would find them. The last entry goes even if it is unchanged, as the guest may have
 * just restored it.
 */
static void cut(struct mirror *m, const struct vl_space *s, uint64_t va)
{
	uint64_t gpa = s->root & X86_PTE_ADDR;

	for (int level = s->levels; level; level--) {
		unsigned slot = slot_of(m, gpa | (uint64_t)level), t;
		unsigned index = vl_pgtable_index(va, level);
		uint64_t *known;

		if (!m->hash[slot])
			return;
		t = m->hash[slot] - 1U;
		known = &m->tables[t].known[index];
		if (!*known)
			return;
		if (level == 1 || *known & X86_PTE_PS ||
		    *known != (m->tables[t].live[index] & ~FLAGS)) {
			/* It stays in the list of entries, as an empty one. */
			*known = 0;
			__atomic_store_n(&m->pages[t][index], 0, __ATOMIC_RELEASE);
			return;
		}
		gpa = *known & X86_PTE_ADDR;
	}
}

enum vl_read_status mirror_map(struct mirror *m, const struct vl_space *s, uint64_t va,
			       uint64_t *gpa_ret)
{
	enum vl_read_status st;
	struct step path[6];
	uint64_t size = 0, gpa = 0;
	int leaf = 0, t, next;

	direct_begin(m->walk);
	st = translate(m, s, va, path, &leaf);
	if (!st) {
		size = 1UL << (12 + 9 * (leaf - 1));
		gpa = path[leaf].entry & X86_PTE_ADDR & ~(size - 1);
		if (gpa < m->own + m->own_size && m->own < gpa + size)
			st = VL_READ_NO_RAM;
	}
	if (st) {
		if (!m->running && st != VL_READ_NONCANONICAL)
			cut(m, s, va);
		return st;
	}
	*gpa_ret = gpa | (va & (size - 1));
	t = table(m, path[s->levels].table, s->levels, &st);
	for (int level = s->levels; t >= 0 && !st; level--, t = next) {
		uint64_t e = path[level].entry, as = e;

		next = -1;
		if (level > leaf) {
			next = table(m, path[level - 1].table, level - 1, &st);
			if (next < 0)
				break;
			as = (e & ~X86_PTE_ADDR) | (m->gpa + (unsigned)next * sizeof(mirror_page));
		}
		st = fill(m, (unsigned)t, vl_pgtable_index(va, level), e, as);
	}
	return st;
}

/* Has the guest changed that entry? */
static bool differs(const struct mirror *m, uint32_t id)
{
	const struct mirror_table *t = &m->tables[id >> 9];

	return (t->live[id & 511] & ~FLAGS) != t->known[id & 511];
}

/* Remove entries that the guest has changed; true: the processor has used some of them. */
static bool drop_changed(struct mirror *m)
{
	bool used = false;

	for (unsigned i = 0; i < m->nr_entries;) {
		uint32_t id = m->entries[i];
		uint64_t *page = m->pages[id >> 9];

		if (likely(!differs(m, id))) {
			i++;
			continue;
		}
		used |= page[id & 511] & X86_PTE_A;
		__atomic_store_n(&page[id & 511], 0, __ATOMIC_RELEASE);
		m->tables[id >> 9].known[id & 511] = 0;
		m->entries[i] = m->entries[--m->nr_entries];
	}
	return used;
}

uint64_t mirror_begin(struct mirror *m, const struct vl_space *s, bool all)
{
	enum vl_read_status st;
	int root;

	m->nr_used = 0;
	m->all = all;
	m->running = m->changed = false;
	direct_begin(m->walk);
	if (m->nr_tables > MIRROR_TABLES / 2 || m->nr_entries > MIRROR_ENTRIES / 2 ||
	    (all && m->nr_entries > MIRROR_ALL))
		clear(m);
	else if (all)
		drop_changed(m);
	root = table(m, s->root & X86_PTE_ADDR, s->levels, &st);
	return root < 0 ? 0 : m->gpa + (unsigned)root * sizeof(mirror_page);
}

bool mirror_holds(struct mirror *m)
{
	m->running = false;
	if (m->all)
		return !drop_changed(m) && !m->changed;
	for (unsigned i = 0; i < m->nr_used; i++)
		if (unlikely(differs(m, m->used[i])))
			return false;
	return !m->changed;
}
