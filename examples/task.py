#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: task.py GUEST [PID]

Reads structures of the guest's kernel by their types, as a drgn script would: the task of a
process (1), with its parents, its credentials and its memory.

Status 1: there is no such process; 3: the guest could not be read.
"""
import sys

import vlens


def find_task(guest, pid):
    """The task_struct of process @pid: the kernel's own list, from init_task on."""
    for task in guest.list("init_task.tasks", "struct task_struct", "tasks"):
        if task.tgid.value() == pid:
            return task
    return None


def show(guest, task):
    def text(value):
        return vlens.printable(value)

    print(f"task_struct  {task.address_:#x}")
    print(f"comm         {text(task.comm.value())}")
    # pointers are followed: task->signal->nr_threads
    print(f"threads      {task.signal.nr_threads.value()}")
    uid = task.cred.uid.value()
    print(f"uid          {uid['val']}")
    print(f"class        {text(task.sched_class.value())}")
    if task.mm.value():
        print(f"page table   {task.mm.pgd.value()}")
        print(f"areas        {task.mm.map_count.value()}")
        start = task.mm.arg_start.value()
        length = task.mm.arg_end.value() - start
        args = guest.read(start, min(max(length, 0), 4096), pid=task.tgid.value())
        words = args.rstrip(b"\0").decode(errors="surrogateescape").split("\0")
        print(f"arguments    {text(' '.join(words))}")
    chain = []
    while task.tgid.value() and len(chain) < 64:
        task = task.real_parent[0]
        chain.append(f"{task.tgid.value()} ({text(task.comm.value())})")
    print(f"parents      {' <- '.join(chain)}")


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) > 1 else 2
    try:
        with vlens.Guest(sys.argv[1]) as guest:
            task = find_task(guest, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
            if task is None:
                print("there is no such process", file=sys.stderr)
                return 1
            show(guest, task)
    except vlens.Error as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
