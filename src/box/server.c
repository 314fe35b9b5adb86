/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread of the broker that serves a worker, while the broker does other work. */
#include "internal.h"

#include "wire.h"

/* The calling thread and the worker take turns, so they share a CPU. */
static void share_cpu(struct vl_box *b)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(b->server.cpu, &one);
	if (!sched_setaffinity(0, sizeof(one), &one))
		vl_box_allow_cpus(b, &one);
	atomic_store(&b->wire->apart, 0);
}

/* A CPU that the broker may not use while it is pinned, else the one where it is, or -1. */
static int other_cpu(const struct vl_box *b)
{
	cpu_set_t own;

	if (!sched_getaffinity(0, sizeof(own), &own))
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &b->all) && !CPU_ISSET(i, &own))
				return i;
	return sched_getcpu();
}

static void *run_server(void *box)
{
	struct vl_box *b = box;
	struct vl_server *s = &b->server;

	share_cpu(b);
	vl_box_tell(b, &s->message);
	/* vl_box_reply() finds all other outcomes again. */
	s->late = vl_box_listen(b, 0, &s->message, s->timeout_ns, s->serve, s->ctx) == VL_BOX_LATE;
	return NULL;
}

/* A server has buffers for some hundred pages' places on its stack. */
#define SERVER_STACK (256u << 10)

bool vl_box_tell_apart(struct vl_box *b, const struct vl_message *m, uint64_t timeout_ns,
		       vl_box_serve_fn serve, void *ctx)
{
	struct vl_server *s = &b->server;
	pthread_attr_t attr;

	if (b->gone || CPU_COUNT(&b->all) < 2)
		return false;
	*s = (struct vl_server){
		.cpu = other_cpu(b),
		.message = *m,
		.serve = serve,
		.ctx = ctx,
		.timeout_ns = timeout_ns,
	};
	if (s->cpu < 0 || pthread_attr_init(&attr))
		return false;
	s->on = !pthread_attr_setstacksize(&attr, SERVER_STACK) &&
		!pthread_create(&s->thread, &attr, run_server, b);
	pthread_attr_destroy(&attr);
	return s->on;
}

void vl_box_end_server(struct vl_box *b)
{
	if (b->server.on)
		pthread_join(b->server.thread, NULL);
	b->server.on = false;
}
