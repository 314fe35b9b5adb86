/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine's internal header. An immersive vCPU has the guest's RAM in read-only slots at
 * the same guest-physical addresses, and runs the agent (agent/imee.S) under the guest's own
 * CR3, so that the processor translates. Most processors cannot walk tables in read-only
 * memory: those get a mirror of the entries that are in use, which is compared with the guest's
 * before and after (mirror.h).
 *
 * The agent finds out whether an address can be read, and its bytes. A software walk of the
 * same tables (the direct engine) gives the reason of a failure, finds a place for the agent,
 * and serves what the agent cannot.
 *
 * The risk: KVM cannot make a slot non-executable. If a guest knows where the agent is, and maps
 * another page there just when a request begins, that page runs in the agent's place. It can then
 * write our exchange pages, that is, lie, which it cannot with the direct engine. It can do no
 * more: its RAM is read-only there, and all data from the exchange pages are checked for bounds. A
 * mirror rules that out: the translation of the agent's address is checked when it is filled in,
 * and then stays.
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
/* A piece or an element may write that much behind the end of the request. */
#define KVM_OUT_SIZE (KVM_OUT_PAGES * VL_PAGE_SIZE - AGENT_STAGE_SIZE)

/* Guest-physical offset of the mirror's pages from the exchange pages. */
#define KVM_MIRROR_OFFSET (2UL << 20)
_Static_assert(KVM_MIRROR_OFFSET >= VL_PAGE_SIZE * KVM_EXCHANGE_PAGES, "");

#define KVM_WALK_FIELDS 8192 /* fields in one KVM_RUN, about */
#define KVM_HITS 8	     /* moves of the agent within one request */

struct kvm_range {
	uint64_t gpa, size;
	void *host; /* MAP_SHARED, PROT_READ; touched by KVM alone; NULL: in no slot */
};

struct vl_kvm {
	struct vl_raw raw;
	/*
	 * Serves what the agent cannot: the direct or the module engine; and the direct walk in
	 * it.
	 */
	struct vl_raw *other;
	struct vl_direct *walk;
	struct vl_kmod *kmod; /* the target's, where it maps the RAM; else NULL */
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
	size_t split;		 /* the range with the hole at overlay */
	int levels;		 /* of paging, as the vCPU is set */
	uint64_t hint;		 /* look for a place from here */
	uint64_t hits[KVM_HITS]; /* overlay pages that the request needs to read */
	unsigned nr_hits;

	/* Where the processor cannot walk the guest's own tables; else NULL. */
	struct mirror *mirror;
	unsigned char *mirror_pages;
	struct vl_space space; /* of the requests to be posted */
	unsigned asked;	       /* addresses asked for by those */

	/* The watchdog ends a request that takes too long. */
	pthread_t runner; /* the thread in kvm_vm_run(); under lock */
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

/* Put the agent at virtual @va, which is physical page @gpa, and reset the vCPU. */
bool kvm_vm_place(struct vl_kvm *k, uint64_t va, uint64_t gpa, int levels);

/* Memory for the mirror, in a slot of its own. */
struct vl_error *kvm_vm_add_mirror(struct vl_kvm *k);

/* Run the vCPU until the ring is served; false: the machine is broken. */
bool kvm_vm_run(struct vl_kvm *k);

/* Is the range made of whole pages, as a memory slot must be? */
bool kvm_slot_aligned(const struct vl_ram *r);
/* Can the range be mapped from its file for a memory slot? */
bool kvm_slot_fits(const struct vl_ram *r);

/* ---- kvm-place.c: where the agent is ---- */

/*
 * Make sure that @s maps the agent, at a page that is none of hits[]; false: there is no such
 * place.
 */
bool kvm_ready(struct vl_kvm *k, const struct vl_space *s);

/* Begin a request: the agent may be anywhere. */
static inline void kvm_begin(struct vl_kvm *k)
{
	k->nr_hits = 0;
}

/*
 * Is the answer valid? False: imee.ko had no page for KVM or for the walk, which read zeros.
 * The other engine then serves the request.
 */
static inline bool kvm_stands(const struct vl_kvm *k)
{
	return likely(!k->kmod || vl_kmod_sound(k->kmod));
}

/*
 * Internal: the other engine serves this request. The agent cannot: it has no place in that
 * space, the processor cannot translate what the guest's can, or the machine is broken.
 */
#define KVM_BY_WALK VL_NR_READ_STATUS

/*
 * Handle the failure of @rq in space @s. True: post it again; false with the reason in *@st.
 * Increments *@tries.
 */
bool kvm_recover(struct vl_kvm *k, const struct vl_space *s, const struct agent_request *rq,
		 unsigned *tries, enum vl_read_status *st);

/* ---- kvm-thread.c: the watchdog ---- */

/* Enclose KVM_RUN: in between the watchdog can end it. */
int kvm_enter_begin(struct vl_kvm *k, sigset_t *old);
void kvm_enter_end(struct vl_kvm *k, const sigset_t *old);

struct vl_error *kvm_watchdog_start(struct vl_kvm *k);
void kvm_threads_stop(struct vl_kvm *k);

/* Keep the vCPU out of the guest until the next request, so that the machine can be changed. */
void kvm_quiesce(struct vl_kvm *k);

/* Start a thread that takes none of the program's signals. Returns 0 or an errno. */
int kvm_thread_start(pthread_t *t, void *(*fn)(void *), struct vl_kvm *k);

/* ---- kvm-ring.c: requests, as the agent gets them ---- */

/* The free request number @i of the ring, initialized; kvm_serve() posts it with the others. */
struct agent_request *kvm_request(struct vl_kvm *k, unsigned i, const struct vl_space *s,
				  uint32_t op);

/* Set @counter, one of the ring's two, to @to, and wait until both are equal. */
bool kvm_post(struct vl_kvm *k, uint32_t *counter, uint32_t to);

/*
 * Keep the vCPU in the guest by a thread of its own, with the agent polling the ring: a request
 * then needs no exit. This takes a whole CPU. The agent halts after @spin polls without a
 * request; the next request wakes it.
 */
struct vl_error *vl_kvm_poll(struct vl_raw *e, uint32_t spin);

/* ---- kvm-mirror.c ---- */

/*
 * Use a mirror of the guest's tables from now on. All of its RAM must be mapped, or be a
 * dump's.
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
	uint64_t by_walk;     /* requests that the other engine served */
	uint64_t asks;	      /* addresses that the agent had to wait for (mirror.h) */
	uint64_t redone;      /* times that tables changed under requests (mirror.h) */
	uint64_t agent_va, agent_gpa;
};
void vl_kvm_stats(const struct vl_raw *e, struct vl_kvm_stats *ret);

#endif
