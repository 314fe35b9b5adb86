/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal.h"
#include "proc.h"
#include "../base/array.h"
#include "../base/dirs.h"

#define MS 1000000ULL
/*
 * The longest wait for the tools before us. A turn takes some milliseconds, or 100 ms with a first
 * attach.
 */
#define TURN_TIMEOUT_NS (20 * VL_NSEC_PER_SEC)
/* The longest wait until one of these tools begins or ends its turn. */
#define STEP_TIMEOUT_NS (5 * VL_NSEC_PER_SEC)
/* The longest wait for a greeting of any socket, while other programs are connected. */
#define GREETING_TIMEOUT_NS (1500 * MS)
#define FIRST_GREETING_NS (100 * MS)
/* Notes of other tools that are older than this are stale. */
#define FRESH_NS VL_NSEC_PER_SEC
/* The longest time for all commands of one turn: `info mtree -f` takes a millisecond. */
#define TALK_TIMEOUT_NS (10 * VL_NSEC_PER_SEC)

void vl_monitor_init(struct vl_monitor *m)
{
	memset(m, 0, sizeof(*m));
	m->lock = VL_LOCK_NONE;
}

static bool key_of(const struct vl_qmp_address *a, char key[128])
{
	char name[112];

	if (!vl_connect_key(a, name, sizeof(name)))
		return false;
	snprintf(key, 128, "monitor-%s", name);
	return true;
}

void vl_monitor_add(struct vl_monitor *m, const struct vl_qmp_address *a)
{
	char key[128], other[128];
	bool known = key_of(a, key);

	if (m->nr == ARRAY_SIZE(m->address))
		return;
	for (size_t i = 0; known && i < m->nr; i++)
		if (key_of(&m->address[i], other) && !strcmp(key, other))
			return;
	m->address[m->nr++] = *a;
}

static void hang_up(struct vl_target *t, struct vl_monitor *m)
{
	vl_qmp_close(m->qmp);
	m->qmp = NULL;
	m->ready = false;
	if (m->quiet)
		vl_pause_let_go(t);
	m->quiet = false;
	if (m->lock >= 0)
		close(m->lock);
	m->lock = VL_LOCK_NONE;
}

void vl_monitor_rest(struct vl_target *t, struct vl_monitor *m)
{
	hang_up(t, m);
}

/* ---- which process ---- */

/* Bind @t to the process that was found to listen at this socket before, if it still runs. */
static bool remembered(struct vl_target *t, const char *key)
{
	struct vl_turn turn;

	vl_turn_load(key, &turn);
	if (turn.pid <= 0)
		return false;
	if (!vl_discard(vl_target_bind(t, turn.pid)) && !strcmp(vl_target_run_id(t), turn.run))
		return true;
	vl_target_unbind(t);
	return false;
}

static void remember(struct vl_target *t, int lock, const char *key)
{
	struct vl_turn turn;

	vl_turn_load(key, &turn);
	turn.pid = (int)t->pid;
	snprintf(turn.run, sizeof(turn.run), "%s", vl_target_run_id(t));
	vl_turn_store(lock, &turn);
}

/* The error when each monitor is busy with another client. */
static struct vl_error *busy(const struct vl_target *t, const struct vl_monitor *m)
{
	pid_t holder = 0;

	for (size_t i = 0; i < m->nr && holder <= 0; i++)
		holder = vl_connect_holder(&m->address[i]);
	return vl_qmp_busy(t->pid, holder);
}

struct vl_error *
vl_monitor_bind(struct vl_target *t, struct vl_monitor *m, const struct vl_qmp_address *a,
		struct vl_error *(*search)(struct vl_target *t, const struct vl_qmp_address *a))
{
	bool has_key;
	struct vl_error *err;
	char key[128];

	m->address[0] = *a;
	m->nr = 1;
	has_key = key_of(a, key);
	if (has_key && remembered(t, key))
		return NULL;
	if (has_key)
		m->lock = vl_run_lock(STEP_TIMEOUT_NS / MS, key);
	/* By now the tool that holds the lock has left a note, or it hangs. */
	if (has_key && remembered(t, key)) {
		hang_up(t, m);
		return NULL;
	}
	if (m->lock == VL_LOCK_BUSY)
		return vl_discard(search(t, a)) ? busy(t, m) : NULL;
	err = vl_qmp_connect(a, vl_now_ns() + FIRST_GREETING_NS, &m->qmp);
	/* A full queue stays full until the client that is served leaves. */
	if (!err && !m->qmp) {
		err = vl_discard(search(t, a)) ? busy(t, m) : NULL;
		hang_up(t, m);
		return err;
	}
	if (!err && vl_qmp_pid(m->qmp) <= 0)
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "cannot tell which process owns the socket"),
			"it may be in another PID namespace: use vlens there");
	if (!err)
		err = vl_target_bind(t, vl_qmp_pid(m->qmp));
	if (!err && has_key)
		remember(t, m->lock, key);
	return err;
}

/* ---- turns ---- */

/* An error unless we are connected to this guest's process. */
static struct vl_error *check_owner(struct vl_target *t, const struct vl_qmp_address *a,
				    struct vl_qmp *qmp)
{
	char name[PATH_MAX + 16];

	if (a->kind == VL_QMP_TCP && vl_connect_listens(a, t->pid))
		vl_qmp_set_pid(qmp, t->pid);
	vl_connect_name(a, name, sizeof(name));
	if (vl_qmp_pid(qmp) == t->pid || (a->kind != VL_QMP_TCP && vl_qmp_pid(qmp) <= 0))
		return NULL;
	/* The path may be an old one that another QEMU has taken over. */
	return vl_error_hint(
		vl_qmp_pid(qmp) > 0 ?
			vl_error_new(VL_ERR_TARGET, "socket %s belongs to process %d", name,
				     (int)vl_qmp_pid(qmp)) :
			vl_error_new(VL_ERR_TARGET, "socket %s belongs to another process", name),
		"give the guest's own socket as qmp:PATH");
}

/*
 * Take our turn at @a, whose lock we hold: wait @wait_ns at most for the greeting. *@ret: it
 * came. NULL and *@ret false: the monitor is busy.
 */
static struct vl_error *attempt(struct vl_target *t, struct vl_monitor *m,
				const struct vl_qmp_address *a, uint64_t wait_ns, bool *ret)
{
	struct vl_error *err = NULL;
	uint64_t deadline;

	*ret = false;
	m->quiet = vl_pause_hold_off(t);
	if (m->quiet)
		err = vl_proc_check_stopped(t->pid);
	deadline = vl_now_ns() + wait_ns;
	if (!err && !m->qmp) {
		err = vl_qmp_connect(a, deadline, &m->qmp);
		if (!err && m->qmp)
			err = check_owner(t, a, m->qmp);
	}
	if (!err && m->qmp) {
		vl_qmp_set_deadline(m->qmp, vl_now_ns() + TALK_TIMEOUT_NS);
		err = vl_qmp_greet(m->qmp, deadline, ret);
	}
	return err;
}

/* The state while the sockets are tried in turn. */
struct turns {
	uint64_t start;
	struct vl_error *failed[VL_QEMU_MONITORS + 1]; /* these are not tried again */
	struct vl_error *silent; /* a socket that is no monitor's, or stopped */
	uint64_t own;		 /* ns that we have waited for a greeting */
	uint64_t together;	 /* ns that all tools have, over all sockets, up to this round */
	uint64_t spoke;		 /* when a socket last greeted a tool */
	bool hopeful;		 /* a socket is not known to be silent */
	bool others;		 /* other tools hold the lock of a socket */
	size_t open;		 /* sockets that have not failed */
};

/* Take over what other tools have noted of the socket. */
static void take_note(struct turns *s, const char *key)
{
	struct vl_turn turn;

	vl_turn_load(key, &turn);
	if (turn.spoke > s->spoke)
		s->spoke = turn.spoke;
	if (turn.silent_until > s->start && turn.silent_until + FRESH_NS > vl_now_ns())
		s->together += turn.silent_until - turn.silent_since;
	else
		s->hopeful = true;
}

/* One round over all sockets; true: it is our turn. */
static bool one_round(struct vl_target *t, struct vl_monitor *m, uint64_t wait_ns, struct turns *s)
{
	bool ours = false, has_key;
	char key[128];

	s->others = s->hopeful = false;
	s->open = 0;
	s->together = 0;
	for (size_t i = 0; i < m->nr; i++) {
		const struct vl_qmp_address *a = &m->address[i];

		if (s->failed[i])
			continue;
		s->open++;
		has_key = key_of(a, key);
		/* vl_monitor_bind() may have left a connection and a lock: of the first socket. */
		if (!m->qmp && has_key)
			m->lock = vl_run_lock(0, key);
		if (m->lock == VL_LOCK_BUSY) {
			m->lock = VL_LOCK_NONE;
			s->others = true;
			take_note(s, key);
			continue;
		}
		s->failed[i] = attempt(t, m, a, wait_ns, &ours);
		if (has_key && ours && !s->failed[i])
			vl_turn_speaks(m->lock, key, (int)t->pid, vl_target_run_id(t));
		if (ours && !s->failed[i])
			return true;
		if (s->failed[i]) {
			s->open--;
		} else {
			s->own += wait_ns;
			if (has_key) {
				vl_turn_is_silent(m->lock, key, (int)t->pid, vl_target_run_id(t),
						  wait_ns);
				take_note(s, key);
			}
		}
		vl_error_destroy(s->silent);
		s->silent = m->qmp && !s->failed[i] ? vl_qmp_silent(m->qmp) : NULL;
		hang_up(t, m);
	}
	return false;
}

/* No greeting will come any more. */
static bool hopeless(const struct turns *s)
{
	uint64_t now = vl_now_ns(), step = s->spoke > s->start ? s->spoke : s->start;

	return !s->open || now >= s->start + TURN_TIMEOUT_NS || now >= step + STEP_TIMEOUT_NS ||
	       (!s->others && s->own >= GREETING_TIMEOUT_NS) ||
	       (!s->hopeful && s->together >= GREETING_TIMEOUT_NS);
}

/* The error when no socket has greeted us. */
static struct vl_error *no_turn(const struct vl_target *t, const struct vl_monitor *m,
				struct turns *s)
{
	struct vl_error *err = NULL;

	if (s->open)
		err = s->silent ? s->silent : busy(t, m);
	if (s->open)
		s->silent = NULL;
	for (size_t i = 0; !err && i < m->nr; i++) {
		err = s->failed[i];
		s->failed[i] = NULL;
	}
	return err;
}

struct vl_error *vl_monitor_open(struct vl_target *t, struct vl_monitor *m, struct vl_qmp **ret)
{
	struct turns s = { .start = vl_now_ns() };
	uint64_t wait = FIRST_GREETING_NS;
	struct vl_error *err = NULL;

	if (m->qmp && vl_qmp_is_broken(m->qmp))
		hang_up(t, m);
	*ret = m->qmp;
	if (m->ready) {
		vl_qmp_set_deadline(m->qmp, vl_now_ns() + TALK_TIMEOUT_NS);
		return NULL;
	}
	while (!one_round(t, m, wait, &s)) {
		if (hopeless(&s)) {
			err = no_turn(t, m, &s);
			break;
		}
		if (s.others)
			usleep(3000);
		else
			wait += wait < 4 * FIRST_GREETING_NS ? wait : 0;
	}
	for (size_t i = 0; i < m->nr; i++)
		vl_error_destroy(s.failed[i]);
	vl_error_destroy(s.silent);
	m->ready = !err;
	*ret = m->qmp;
	return err;
}
