/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"
#include "proc.h"
#include "../base/dirs.h"

/* A silence ends when there was no try for this long. */
#define APART_NS VL_NSEC_PER_SEC
/* The fixed size of a note, in bytes: a reader without the lock sees a whole one. */
#define SIZE 256

void vl_turn_load(const char *key, struct vl_turn *ret)
{
	_cleanup_free_ char *path = vl_run_path("%s.lock", key), *text = NULL;
	struct vl_turn turn = { .pid = 0 };

	*ret = (struct vl_turn){ .pid = 0 };
	if (path && vl_read_file(AT_FDCWD, path, SIZE + 1, &text, NULL) >= 0 &&
	    sscanf(text, "%d %111s %" SCNu64 " %" SCNu64 " %" SCNu64, &turn.pid, turn.run,
		   &turn.spoke, &turn.silent_since, &turn.silent_until) == 5 &&
	    strchr(text, '\n'))
		*ret = turn;
}

void vl_turn_store(int lock, const struct vl_turn *turn)
{
	char text[SIZE + 1];
	int n = snprintf(text, sizeof(text), "%d %s %" PRIu64 " %" PRIu64 " %" PRIu64, turn->pid,
			 turn->run[0] ? turn->run : "-", turn->spoke, turn->silent_since,
			 turn->silent_until);

	if (lock < 0 || n < 0 || n >= SIZE)
		return;
	memset(text + n, ' ', (size_t)(SIZE - n));
	text[SIZE - 1] = '\n';
	/* Best effort: without a note the next tool asks the socket itself. */
	if (pwrite(lock, text, SIZE, 0) != SIZE)
		errno = 0;
}

static void set_owner(struct vl_turn *turn, int pid, const char *run)
{
	turn->pid = pid;
	snprintf(turn->run, sizeof(turn->run), "%s", run);
}

void vl_turn_speaks(int lock, const char *key, int pid, const char *run)
{
	struct vl_turn turn;

	vl_turn_load(key, &turn);
	set_owner(&turn, pid, run);
	turn.spoke = vl_now_ns();
	turn.silent_since = turn.silent_until = 0;
	vl_turn_store(lock, &turn);
}

void vl_turn_is_silent(int lock, const char *key, int pid, const char *run, uint64_t ns)
{
	uint64_t now = vl_now_ns();
	struct vl_turn turn;

	vl_turn_load(key, &turn);
	set_owner(&turn, pid, run);
	/* A time in the future was written before this host's last boot. */
	if (now - ns > turn.silent_until + APART_NS || turn.silent_until > now)
		turn.silent_since = now - ns;
	turn.silent_until = now;
	vl_turn_store(lock, &turn);
}
