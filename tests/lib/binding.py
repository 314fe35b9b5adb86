#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: binding.py GUEST ITEMS SYMBOLS

Tests the Python module on a dump that is made by tests/77-library.bats. ITEMS is what the program
items.c printed of it: lines of JSON, whose members are in the order of the structures. SYMBOLS is src/libvlens.sym.
"""
import json
import sys
import threading
import unittest

import vlens

SECONDS = {"start_ns", "started_ns", "cpu_ns"}
READ = {"process": "processes", "socket": "sockets", "module": "modules", "file": "files",
        "container": "containers"}


def as_json(item):
    """The values of an item as items.c prints them."""
    for name, value in zip(item._fields, item):
        if value is not None and name in SECONDS:
            value = value // 10000000 / 100
        elif isinstance(value, vlens.Pointer) or (value is not None and name == "flags"):
            value = f"{int(value):#x}"
        elif isinstance(value, int) and value > 1 << 53:
            value = str(value)
        yield value


class Binding(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = vlens.Guest(sys.argv[1])
        with open(sys.argv[2], encoding="utf-8") as file:
            cls.rows = [json.loads(line) for line in file]

    @classmethod
    def tearDownClass(cls):
        cls.guest.close()

    def test_items(self):
        for kind, method in READ.items():
            theirs = [list(row.values())[1:] for row in self.rows if row["kind"] == kind]
            ours = [list(as_json(item)) for item in getattr(self.guest, method)()]
            self.assertGreater(len(theirs), 1, kind)
            self.assertEqual(theirs, ours, kind)
        memory = [list(row.values())[1:] for row in self.rows if row["kind"] == "memory"]
        self.assertEqual(memory, [list(as_json(self.guest.memory()))])

    def test_classes(self):
        process = self.guest.processes()[0]
        self.assertIsInstance(process, vlens.Process)
        self.assertEqual((process.pid, process.comm), (1, "systemd"))
        self.assertIsInstance(process.task, vlens.Pointer)
        self.assertRegex(repr(process), r"^Process\(pid=1, .* task=0xffff[0-9a-f]{12}\)$")
        self.assertIsNone(process.container)

    def test_hostile(self):
        """Names that drive a terminal, or that HTML would take for its own."""
        evil = [p for p in self.guest.processes() if p.comm == "<i>&\x1b[2J"]
        self.assertEqual(len(evil), 1, [p.comm for p in self.guest.processes()])
        for text in (repr(evil[0]), evil[0]._repr_html_(), vlens.Items(evil)._repr_html_()):
            self.assertNotIn("\x1b", text)
            self.assertIn("\\x1b[2J", text)
        for text in (evil[0]._repr_html_(), vlens.Items(evil)._repr_html_()):
            self.assertNotIn("<i>", text)
            self.assertIn("&lt;i&gt;&amp;", text)
        self.assertEqual(vlens.printable("a\udcff\n\u202e"), "a\\udcff\\n\\u202e")

    def test_html(self):
        processes = self.guest.processes()
        table = processes._repr_html_()
        self.assertEqual(table.count("<tr>"), len(processes) + 1)
        self.assertEqual(table.count("<td"), len(processes) * table.count("<th>"))
        many = vlens.Items(processes * 20)
        self.assertIn(f"<p>{len(many) - 500} more</p>", many._repr_html_())
        self.assertEqual(vlens.Items()._repr_html_(), "<p>none</p>")
        self.assertIn("<td style=\"text-align: left\">server</td>", self.guest._repr_html_())
        self.assertIn("struct list_head", self.guest["init_task"].tasks._repr_html_())

    def test_object(self):
        task = self.guest["init_task"]
        self.assertEqual(task.type_, "struct task_struct")
        self.assertEqual(task.comm.value(), "swapper/0")
        self.assertEqual(task["comm"].read()[:10], b"swapper/0\0")
        self.assertEqual(task.comm[1].value(), ord("w"))
        name = task.nsproxy.uts_ns.name.value()
        self.assertEqual((name["sysname"], name["nodename"]), ("Linux", "server"))
        self.assertIn("sched_class", str(task.sched_class.value()))
        self.assertEqual(task.real_parent[0].address_, task.address_)
        self.assertEqual(task.tasks.address_ - task.address_,
                         self.guest.offset("struct task_struct", "tasks"))
        with self.assertRaises(AttributeError):
            task.no_such_member  # pylint: disable=pointless-statement
        with self.assertRaises(vlens.Error) as caught:
            self.guest.object("no_such_symbol")
        self.assertEqual(caught.exception.code, "ARG")

    def test_list(self):
        listed = [int(task.tgid.value()) for task in
                  self.guest.list("init_task.tasks", "struct task_struct", "tasks")]
        self.assertEqual(sorted(listed), sorted(p.pid for p in self.guest.processes()))
        modules = [m.name.value() for m in self.guest.list("modules", "struct module", "list")]
        self.assertEqual(sorted(modules), sorted(m.name for m in self.guest.modules()))
        with self.assertRaises(vlens.Error):
            list(self.guest.list("init_task.tasks", "struct task_struct", "tasks", limit=5))

    def test_values(self):
        module = next(self.guest.list("modules", "struct module", "list"))
        state = module.state.value()
        self.assertIsInstance(state, vlens.Symbolic)
        self.assertEqual((int(state), str(state)), (0, "MODULE_STATE_LIVE"))
        value = self.guest["init_task"].value()
        self.assertEqual(value["comm"], "swapper/0")
        self.assertIsInstance(value["thread"], dict)
        self.assertIsInstance(value["tasks"]["next"], vlens.Pointer)

    def test_read(self):
        address = self.guest["init_task"].comm.address_
        self.assertEqual(self.guest.read(address, 9), b"swapper/0")
        with self.assertRaises(vlens.Error) as caught:
            self.guest.read(0, 8)
        self.assertEqual((caught.exception.code, caught.exception.address), ("FAULT", 0))
        systemd = next(self.guest.list("init_task.tasks", "struct task_struct", "tasks"))
        start = systemd.mm.arg_start.value()
        self.assertEqual(self.guest.read(start, 10, pid=1), b"/sbin/init")

    def test_errors(self):
        with self.assertRaises(vlens.Error) as caught:
            vlens.Guest("/no/such/file")
        error = caught.exception
        self.assertEqual(error.code, "TARGET")
        self.assertIn(error.message, str(error))
        closed = vlens.Guest(sys.argv[1])
        closed.close()
        closed.close()
        self.assertIn("closed", repr(closed))
        for call in (closed.processes, lambda: closed.read(0, 1), lambda: closed["init_task"]):
            with self.assertRaises(ValueError):
                call()

    def test_threads(self):
        found, threads = [], []
        for _ in range(8):
            threads.append(threading.Thread(target=lambda: found.append(
                (len(self.guest.processes()), self.guest["init_task"].comm.value()))))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [(len(self.guest.processes()), "swapper/0")] * 8)

    def test_all_of_the_header(self):
        """The module has all functions of the library but those that take a va_list."""
        with open(sys.argv[3], encoding="utf-8") as file:
            lacking = [name for name in file.read().split() if not hasattr(vlens.lib, name)]
        self.assertEqual(lacking, ["vl_table_vprintf"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
