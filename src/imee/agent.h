/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between the supervisor (kvm*.c) and the agent (agent/imee.S): the layout of the
 * agent's page, and of the exchange pages with the ring. Both include this file. Assertions
 * keep the structures equal to the numbers above them.
 *
 * The page is our only memory in the target address space, at the guest-virtual address where
 * the agent runs. The exchange pages are mapped in the local address space only.
 */
#ifndef VLENS_IMEE_AGENT_H
#define VLENS_IMEE_AGENT_H

/* ---- the agent's page, in bytes from its start ---- */

#define AGENT_ENTRY 0x000 /* where the vCPU starts; the code */
#define AGENT_VARS 0x500  /* struct agent_vars */
#define AGENT_IDT 0x580	  /* gates 0 to 14 (page fault) */
#define AGENT_GDT 0x670	  /* null, code, data */
#define AGENT_STACK 0x688 /* lowest byte; an exception pushes 48 bytes */
#define AGENT_TOP 0x700	  /* the first stack pointer, 16-byte aligned */
#define AGENT_FIELDS 0x700
#define AGENT_STAGE 0xa18 /* bytes just read, before they go to the exchange pages */
#define AGENT_SIZE 0x1000

#define AGENT_STAGE_SIZE (AGENT_SIZE - AGENT_STAGE)
#define AGENT_NR_GATES 15
#define AGENT_CODE_SEL 0x08
#define AGENT_DATA_SEL 0x10

/* struct agent_vars, from AGENT_VARS. */
#define AV_CANARY 0x00
#define AV_LOCAL_CR3 0x08
#define AV_RING 0x10
#define AV_END_MASK 0x18
#define AV_NEXT 0x20
#define AV_NODE 0x24
#define AV_RECORD 0x28
#define AV_ONCE 0x2c
#define AV_REQUEST 0x30
#define AV_OUT 0x38
#define AV_OUT_END 0x40
#define AV_MARK 0x48
#define AV_FIELD_AT 0x50
#define AV_FAULT 0x58
#define AV_ASK 0x60
#define AV_ASKED 0x68
#define AV_SAVED 0x70

/* struct agent_field. */
#define AF_KIND 0
#define AF_DEREFS 1
#define AF_BYTES 2
#define AF_OFFSET 4
#define AF_SIZE 24
#define AGENT_NR_FIELDS 32

#define AF_KIND_BYTES 0
#define AF_KIND_STRING 1
#define AF_KIND_ADDRESS 2
#define AF_KIND_END 0xff /* behind the last */

/* ---- the exchange pages ---- */

#define AGENT_EXCHANGE_VA 0x10000 /* in the local address space */

/* struct agent_ring, at their start. */
#define AR_POSTED 0x00
#define AR_SERVED 0x40
#define AR_SPIN 0x44
#define AR_REQUESTS 0x80
#define AGENT_NR_REQUESTS 128 /* a power of two */

/* struct agent_request. */
#define RQ_OP 0x00
#define RQ_STATUS 0x04
#define RQ_CR3 0x08
#define RQ_VA 0x10
#define RQ_LEFT 0x18
#define RQ_OUT 0x20
#define RQ_OUT_END 0x28
#define RQ_FAULT 0x30
#define RQ_END 0x38
#define RQ_MASK 0x40
#define RQ_FIRST 0x48
#define RQ_SIZE 0x50

#define AGENT_OP_READ 0
#define AGENT_OP_WALK 1
#define AGENT_OP_WATCH 2

#define AGENT_OK 0
#define AGENT_FAULT 1	/* the address cannot be read */
#define AGENT_OVERLAY 2 /* the address is in the agent's own page */
#define AGENT_NULL 3	/* a pointer on the way to a field, or to the next node, is NULL */
#define AGENT_MORE 4	/* a walk: as many elements as were allowed, and not at the end */
#define AGENT_GARBAGE 5 /* a walk: the pointer to a node is not aligned */
#define AGENT_FULL 6	/* a walk: no room for the next element; go on from va */
#define AGENT_LOST 7	/* by the supervisor: the agent's page is not mapped in that space */

/* agent_vars.ask. */
#define AGENT_ASKING 1	/* by the agent: nothing is mapped at asked */
#define AGENT_GRANTED 2 /* by the supervisor: it is mapped now, try again */
#define AGENT_REFUSED 3 /* by the supervisor: it is a fault */

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* The supervisor sets the fields up to once; the others are the agent's own variables. */
struct agent_vars {
	uint64_t canary;    /* a random number that distinguishes this page from all others */
	uint64_t local_cr3; /* guest-physical address of the local top-level table */
	uint64_t ring;	    /* AGENT_EXCHANGE_VA */
	uint64_t end_mask;  /* a walk ends where (node & end_mask) == request.end */
	int32_t next;	    /* offset in a node of the pointer to the next one */
	int32_t node;	    /* offset of the node in its element */
	uint32_t record;    /* bytes of output for one element */
	uint32_t once;	    /* stop after one element */
	uint64_t request, out, out_end, mark, field_at, fault;
	/* With a mirror (mirror.h): AGENT_ASKING and its like, and the address asked for. */
	uint64_t ask, asked, saved;
};

/* One field of a walk's elements, like struct vl_walk_field. */
struct agent_field {
	uint8_t kind, derefs;
	uint16_t bytes;
	int32_t offset[5];
};

struct agent_page {
	unsigned char code[AGENT_VARS];
	struct agent_vars vars;
	unsigned char pad[AGENT_IDT - AGENT_VARS - sizeof(struct agent_vars)];
	uint64_t idt[AGENT_NR_GATES][2];
	uint64_t gdt[3];
	unsigned char stack[AGENT_TOP - AGENT_STACK];
	struct agent_field fields[AGENT_NR_FIELDS + 1];
	unsigned char stage[AGENT_STAGE_SIZE];
};

/*
 * A request. The agent advances va, left and out as it serves it.
 *
 * READ: copy left bytes at va to out.
 * WALK: va is the address of the pointer to the next node or, with first, of the first node
 * itself. At most left elements are put out. For each, out gets the node (8 bytes), and for
 * each field 8 bytes of status and its bytes, padded to 8. If the status is not AGENT_OK the
 * address that failed takes the place of the bytes.
 * WATCH: read the aligned 8 bytes at va until they differ from end under mask, at most left
 * times; end gets the last value.
 */
struct agent_request {
	uint32_t op, status;
	uint64_t cr3; /* of the target address space */
	uint64_t va, left;
	uint64_t out, out_end; /* addresses in the exchange pages, multiples of 8 */
	uint64_t fault;	       /* the address that failed */
	uint64_t end, mask;
	uint64_t first;
};

/*
 * The supervisor fills a request and increments posted; the agent serves it and increments
 * served. Request n is in slot n % AGENT_NR_REQUESTS. When all are served the agent polls
 * posted spin times, then halts: the only exit of a batch.
 */
struct agent_ring {
	uint32_t posted;
	uint32_t pad0[15]; /* keeps posted out of the cache line that the agent writes */
	uint32_t served;
	uint32_t spin;
	uint32_t pad1[14];
	struct agent_request requests[AGENT_NR_REQUESTS];
};

#define AGENT_ASSERT(type, member, at) \
	_Static_assert(offsetof(struct type, member) == (at), #type "." #member " is not at " #at)
AGENT_ASSERT(agent_vars, canary, AV_CANARY);
AGENT_ASSERT(agent_vars, local_cr3, AV_LOCAL_CR3);
AGENT_ASSERT(agent_vars, ring, AV_RING);
AGENT_ASSERT(agent_vars, end_mask, AV_END_MASK);
AGENT_ASSERT(agent_vars, next, AV_NEXT);
AGENT_ASSERT(agent_vars, node, AV_NODE);
AGENT_ASSERT(agent_vars, record, AV_RECORD);
AGENT_ASSERT(agent_vars, once, AV_ONCE);
AGENT_ASSERT(agent_vars, request, AV_REQUEST);
AGENT_ASSERT(agent_vars, out, AV_OUT);
AGENT_ASSERT(agent_vars, out_end, AV_OUT_END);
AGENT_ASSERT(agent_vars, mark, AV_MARK);
AGENT_ASSERT(agent_vars, field_at, AV_FIELD_AT);
AGENT_ASSERT(agent_vars, fault, AV_FAULT);
AGENT_ASSERT(agent_vars, ask, AV_ASK);
AGENT_ASSERT(agent_vars, asked, AV_ASKED);
AGENT_ASSERT(agent_vars, saved, AV_SAVED);
AGENT_ASSERT(agent_field, kind, AF_KIND);
AGENT_ASSERT(agent_field, derefs, AF_DEREFS);
AGENT_ASSERT(agent_field, bytes, AF_BYTES);
AGENT_ASSERT(agent_field, offset, AF_OFFSET);
AGENT_ASSERT(agent_page, vars, AGENT_VARS);
AGENT_ASSERT(agent_page, idt, AGENT_IDT);
AGENT_ASSERT(agent_page, gdt, AGENT_GDT);
AGENT_ASSERT(agent_page, stack, AGENT_STACK);
AGENT_ASSERT(agent_page, fields, AGENT_FIELDS);
AGENT_ASSERT(agent_page, stage, AGENT_STAGE);
AGENT_ASSERT(agent_ring, posted, AR_POSTED);
AGENT_ASSERT(agent_ring, served, AR_SERVED);
AGENT_ASSERT(agent_ring, spin, AR_SPIN);
AGENT_ASSERT(agent_ring, requests, AR_REQUESTS);
AGENT_ASSERT(agent_request, op, RQ_OP);
AGENT_ASSERT(agent_request, status, RQ_STATUS);
AGENT_ASSERT(agent_request, cr3, RQ_CR3);
AGENT_ASSERT(agent_request, va, RQ_VA);
AGENT_ASSERT(agent_request, left, RQ_LEFT);
AGENT_ASSERT(agent_request, out, RQ_OUT);
AGENT_ASSERT(agent_request, out_end, RQ_OUT_END);
AGENT_ASSERT(agent_request, fault, RQ_FAULT);
AGENT_ASSERT(agent_request, end, RQ_END);
AGENT_ASSERT(agent_request, mask, RQ_MASK);
AGENT_ASSERT(agent_request, first, RQ_FIRST);
_Static_assert(sizeof(struct agent_page) == AGENT_SIZE, "the agent has one page");
_Static_assert(sizeof(struct agent_field) == AF_SIZE, "");
_Static_assert(sizeof(struct agent_request) == RQ_SIZE, "");
_Static_assert(AGENT_TOP % 16 == 0 && AGENT_STAGE % 8 == 0, "");

/*
 * The assembled page, AGENT_SIZE bytes, and offsets in it: the handler of faults, and that of
 * page faults with a mirror.
 */
extern const unsigned char vl_agent_page[AGENT_SIZE];
extern const uint32_t vl_agent_fault, vl_agent_ask;

#endif
#endif
