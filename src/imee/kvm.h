/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine: what its files share. An immersive vCPU has the guest's RAM in
 * read-only slots at the guest-physical addresses it has there, and runs the agent
 * (agent/imee.S) under the guest's own CR3, so that the processor translates. Most
 * processors cannot walk tables in read-only memory: those get a mirror of the entries
 * that are in use, which is compared with the guest's before and after (mirror.h).
 *
 * Whether an address can be read, and what is there, the agent says. Why not is
 * asked of a software walk (the direct engine), which also finds a place for the agent,
 * and serves what the agent cannot; it sees the same tables.
 *
 * What it takes. KVM has no way to make a slot not executable. A guest that knows where
 * the agent is, and maps another page there just when a request begins, has that page
 * run in the agent's place: it can then write our exchange pages, that is, lie, as it can
 * not with the direct engine. It gets no further: its RAM is read-only there, and all that
 * comes out of the exchange pages is bounded here. With a mirror it cannot do that: what
 * the agent's address leads to there is looked at when it is filled in, and then stays.
 */
#ifndef VLENS_IMEE_KVM_H
#define VLENS_IMEE_KVM_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../host/kmod.h"
#include "../base/machine.h"
#include "agent.h"
#include "direct.h"
#include "mirror.h"

#define KVM_TABLE_PAGES 9 /* local tables: one top level, two branches of four levels at most */
#define KVM_RING_PAGES ((sizeof(struct agent_ring) + VL_PAGE_SIZE - 1) / VL_PAGE_SIZE)
#define KVM_OUT_PAGES 64
#define KVM_EXCHANGE_PAGES (KVM_TABLE_PAGES + KVM_RING_PAGES + KVM_OUT_PAGES)
/* What a piece or an element may write behind the end of what was asked for. */
#define KVM_OUT_SIZE (KVM_OUT_PAGES * VL_PAGE_SIZE - AGENT_STAGE_SIZE)

/* Where the mirror's pages are, from the exchange pages on, guest-physical. */
#define KVM_MIRROR_OFFSET (2UL << 20)
_Static_assert(KVM_MIRROR_OFFSET >= VL_PAGE_SIZE * KVM_EXCHANGE_PAGES, "");

#define KVM_WALK_FIELDS 8192 /* fields in one entry, about */
#define KVM_HITS 8	     /* places that one request may make the agent leave */

struct kvm_range {
	uint64_t gpa, size;
	void *host; /* MAP_SHARED, PROT_READ; touched by KVM alone; NULL: in no slot */
};

struct vl_kvm {
	struct vl_raw raw;
	/* Serves what the agent cannot: the direct engine, or the module engine; its walk. */
	struct vl_raw *other;
	struct vl_direct *walk;
	struct vl_kmod *module; /* the target's, where it maps the RAM; else NULL */
	struct vl_machine machine;
	struct kvm_range *ranges;
	size_t nr_ranges;

	struct agent_page *page;
	unsigned char *exchange; /* tables, ring, out */
	uint64_t exchange_gpa;
	struct agent_ring *ring;
	unsigned char *out;

	bool placed, la57;
	uint64_t va, overlay;	 /* where the agent is: virtual, physical */
	size_t split;		 /* the range with the hole at blind */
	int levels;		 /* of paging, that the vCPU is set to */
	uint64_t hint;		 /* look for a place from here */
	uint64_t hits[KVM_HITS]; /* physical pages that the request wants to read */
	unsigned nr_hits;

	/* Where the processor cannot walk the guest's own tables; else NULL. */
	struct mirror *mirror;
	unsigned char *mirror_pages;
	struct vl_space space; /* of the requests to be posted */
	unsigned asked;	       /* by the requests posted */

	/* When the vCPU has been at one request for too long the watchdog ends that. */
	pthread_t runner; /* who is in kvm_vm_run(); with the lock */
	bool running;
	atomic_bool broken, stop;
	atomic_uint limit_ms;
	pthread_t watchdog;
	bool has_watchdog;
	pthread_mutex_t lock; /* of the condition that ends the threads' waits */
	pthread_cond_t cond;

	/* Poll mode: a thread keeps the vCPU in the guest, where the agent spins. */
	bool polling;
	uint32_t spin;
	pthread_t poller;
	atomic_uint asleep;

	uint64_t exits, relocations, by_walk, asks, redone;
};

static inline struct vl_kvm *kvm_of(struct vl_raw *e)
{
	return (struct vl_kvm *)e;
}

/* A place in the exchange pages, as the agent sees it. */
static inline uint64_t kvm_out_va(size_t offset)
{
	return AGENT_EXCHANGE_VA + KVM_RING_PAGES * VL_PAGE_SIZE + offset;
}

/* ---- kvm-vm.c: the machine ---- */

struct vl_error *kvm_vm_create(struct vl_kvm *k, struct vl_target *t,
			       const struct vl_machine_host *host);
void kvm_vm_destroy(struct vl_kvm *k);

/* Put the agent at virtual @va, which is physical page @gpa, and start it anew. */
bool kvm_vm_place(struct vl_kvm *k, uint64_t va, uint64_t gpa, int levels);

/* Memory for the mirror, in a slot of its own. */
struct vl_error *kvm_vm_add_mirror(struct vl_kvm *k);

/* Enter until the ring is served; false: it is broken. */
bool kvm_vm_run(struct vl_kvm *k);

/* Is it of whole pages, as a memory slot is? */
bool kvm_slot_aligned(const struct vl_ram *r);
/* Can the range be mapped from its file for a memory slot? */
bool kvm_slot_fits(const struct vl_ram *r);

/* ---- kvm-place.c: where the agent is ---- */

/*
 * The agent is mapped in @s, at a page that none of the hits is; false: there is no
 * such place.
 */
bool kvm_ready(struct vl_kvm *k, const struct vl_space *s);

/* A new request: the agent may stand anywhere. */
static inline void kvm_begin(struct vl_kvm *k)
{
	k->nr_hits = 0;
}

/*
 * Does what was read stand? False: a page could not be had for KVM, or for the walk, and
 * was read as zeros. The other engine then finds out.
 */
static inline bool kvm_stands(const struct vl_kvm *k)
{
	return likely(!k->module || vl_kmod_sound(k->module));
}

/*
 * Internal: the agent cannot serve this request: there is no place for it in that space,
 * the processor cannot translate what the guest's can, or the machine is broken. The
 * other engine serves the request.
 */
#define KVM_BY_WALK VL_NR_READ_STATUS

/*
 * What @rq of space @s did not get: make it possible and return true to have it posted
 * again, or false with why in *@st. @tries is counted up.
 */
bool kvm_recover(struct vl_kvm *k, const struct vl_space *s, const struct agent_request *rq,
		 unsigned *tries, enum vl_read_status *st);

/* ---- kvm-thread.c: the watchdog ---- */

/* Around KVM_RUN: the watchdog can end it from here on. */
int kvm_enter_begin(struct vl_kvm *k, sigset_t *old);
void kvm_enter_end(struct vl_kvm *k, const sigset_t *old);

struct vl_error *kvm_watchdog_start(struct vl_kvm *k);
void kvm_threads_stop(struct vl_kvm *k);

/* Out of the guest, until the next request: the machine can be changed. */
void kvm_quiesce(struct vl_kvm *k);

/* A thread that takes none of the program's signals; an errno. */
int kvm_thread_start(pthread_t *t, void *(*fn)(void *), struct vl_kvm *k);

/* ---- kvm-ring.c: requests, as the agent gets them ---- */

/* The next free request of the ring, cleared; posted with all others by kvm_serve(). */
struct agent_request *kvm_request(struct vl_kvm *k, unsigned i, const struct vl_space *s,
				  uint32_t op);

/* Set that one of the ring's counters to @to, and wait until both are the same. */
bool kvm_post(struct vl_kvm *k, uint32_t *counter, uint32_t to);

/*
 * Have a thread of its own keep the vCPU in the guest, where the agent looks at the
 * ring again and again: a request then needs no exit. It takes a whole CPU. The agent
 * halts after @spin looks in vain, and is woken by the next request.
 */
struct vl_error *vl_kvm_poll(struct vl_raw *e, uint32_t spin);

/* ---- kvm-mirror.c ---- */

/*
 * From now on through a mirror of the guest's tables. All of its RAM must be mapped, or
 * be a dump's.
 */
struct vl_error *vl_kvm_mirror(struct vl_raw *e);
void kvm_mirror_destroy(struct vl_kvm *k);

/*
 * Post @nr requests and wait until they are served; false: the machine is broken, or
 * the guest changes its tables too fast for the mirror.
 */
bool kvm_serve(struct vl_kvm *k, unsigned nr);

/* ---- kvm-read.c: requests for bytes ---- */

enum vl_read_status kvm_read(struct vl_kvm *k, const struct vl_space *s, uint64_t va, void *buf,
			     size_t len, uint64_t *fault);
enum vl_read_status kvm_string(struct vl_kvm *k, const struct vl_space *s, uint64_t va, char *buf,
			       size_t size, uint64_t *fault);

/* The engine's operations (engine.h). */
enum vl_read_status kvm_read_op(struct vl_raw *e, const struct vl_space *s, uint64_t va, void *buf,
				size_t len, uint64_t *fault);
enum vl_read_status kvm_string_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				  char *buf, size_t size, uint64_t *fault);
void kvm_gather_op(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr);
enum vl_read_status kvm_watch_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				 unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				 uint64_t *samples_ret, uint64_t *fault);

/* ---- kvm-walk.c ---- */

void kvm_walk(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
	      struct vl_walked *ret);

/* ---- kvm.c ---- */

/* What the engine did so far, for tests and benchmarks. */
struct vl_kvm_stats {
	uint64_t exits;	      /* returns from KVM_RUN */
	uint64_t relocations; /* the agent was put elsewhere */
	uint64_t by_walk;     /* requests that the other engine served instead */
	uint64_t asks;	      /* addresses that the agent had to wait for (mirror.h) */
	uint64_t redone;      /* times that tables changed under requests (mirror.h) */
	uint64_t agent_va, agent_gpa;
};
void vl_kvm_stats(const struct vl_raw *e, struct vl_kvm_stats *ret);

#endif
