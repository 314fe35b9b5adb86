# SPDX-License-Identifier: GPL-2.0-or-later
"""Look inside a running virtual machine, or a dump of one, from the host.

    import vlens

    with vlens.Guest("web1") as guest:
        for process in guest.processes():
            print(process.pid, process.rss, vlens.printable(process.comm))
        print(guest.object("init_task").comm.value())

This is a binding of libvlens(3) over its public header: the functions of C are vlens.lib.vl_...,
and vlens.ffi is the cffi object for them. Nothing is paused, and no kernel is asked: memory is read.

The guest is hostile. Its texts are str with any character, among them those that drive a terminal,
and bytes that are no UTF-8 as os.fsdecode() has them. The reprs here, of text and of HTML, show
texts by printable() and escape them. print() does not.

Threads may use one Guest: its calls wait for each other.
"""
import collections
import errno
import html
import re
import threading

from ._vlens import ffi, lib

__version__ = ffi.string(lib.vl_version()).decode()
__all__ = ["Container", "Error", "File", "Guest", "Items", "Memory", "Module", "Object", "Pointer",
           "Process", "Socket", "Symbolic", "Unreadable", "ffi", "guests", "lib", "printable"]

# Rows of a table in HTML. A line below it says how many more there are.
HTML_ROWS = 500


def printable(value):
    """A text in which what could drive a terminal, or is no text, is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
                   for c in str(value))


def _text(pointer, length=None):
    raw = ffi.string(pointer) if length is None else ffi.buffer(pointer, length)[:]
    return raw.decode("utf-8", "surrogateescape")


class Error(Exception):
    """An error of the library: what could not be done, and why.

    code: its class, as in error.h without VL_ERR_ ("TARGET"); hint: what to do about it, or None;
    errno: of a call of the host, else 0; address: of the guest, if one cannot be read, else None;
    partial: what could be read all the same, or None.
    """

    def __init__(self, message, code, hint=None, number=0, address=None, partial=None):
        super().__init__(message if hint is None else f"{message}; {hint}")
        self.message, self.code, self.hint = message, code, hint
        self.errno, self.address, self.partial = number, address, partial


_CODES = {number: name.removeprefix("VL_ERR_")
          for number, name in ffi.typeof("enum vl_errc").elements.items()}


def _error(err, partial=None):
    """The exception of a struct vl_error *, which is freed."""
    code = _CODES.get(err.code, str(err.code))
    exception = Error(printable(_text(err.message)), code,
                      printable(_text(err.hint)) if err.hint else None, err.os_errno,
                      err.address if code == "FAULT" else None, partial)
    lib.vl_error_destroy(err)
    return exception


def _check(err):
    if err != ffi.NULL:
        raise _error(err)


# ---- tables in HTML ---------------------------------------------------------

def _cell(value):
    text = "" if value is None else printable(value)
    align = "right" if isinstance(value, int) and not isinstance(value, bool) else "left"
    return f'<td style="text-align: {align}">{html.escape(text)}</td>'


def _html_table(header, rows, caption=None):
    shown = rows[:HTML_ROWS]
    lines = ["<table>"]
    if caption is not None:
        lines.append(f"<caption>{html.escape(printable(caption))}</caption>")
    lines.append("<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in header) + "</tr>")
    lines += ["<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in shown]
    lines.append("</table>")
    if len(rows) > len(shown):
        lines.append(f"<p>{len(rows) - len(shown)} more</p>")
    return "\n".join(lines)


class Pointer(int):
    """An address that a pointer has. symbol: "init_task+0x10", or None."""
    symbol = None

    def __new__(cls, value, symbol=None):
        self = super().__new__(cls, value)
        self.symbol = symbol
        return self

    def __repr__(self):
        return f"{int(self):#x}" + (f" <{printable(self.symbol)}>" if self.symbol else "")

    __str__ = __repr__


# ---- items ------------------------------------------------------------------

def _item_repr(self):
    known = ((name, value) for name, value in zip(self._fields, self) if value is not None)
    return f"{type(self).__name__}(" + ", ".join(
        f"{name}='{printable(value)}'" if isinstance(value, str) else f"{name}={value}"
        for name, value in known) + ")"


def _item_html(self):
    return _html_table(("", type(self).__name__), list(zip(self._fields, self)))


def _item_class(name, doc):
    """A class of tuples with the members of the structure, in its order. None: has no value."""
    members = [field for field, _ in ffi.typeof(f"struct vl_{name}_info").fields[1:]]
    base = collections.namedtuple(name.capitalize(), members)
    return type(name.capitalize(), (base,), {
        "__slots__": (), "__doc__": f"{doc}: see struct vl_{name}_info in items.h.",
        "__repr__": _item_repr, "_repr_html_": _item_html, "__module__": __name__})


Process = _item_class("process", "A process")
Socket = _item_class("socket", "A socket")
Module = _item_class("module", "A module of the kernel")
File = _item_class("file", "A file that a process uses")
Memory = _item_class("memory", "The memory of a guest, in bytes")
Container = _item_class("container", "A container")


# Members that are addresses. The others are numbers.
_ADDRESSES = {"process": {"mm", "task"}, "socket": {"sock"}, "module": {"text", "module"},
              "file": {"file", "inode"}, "memory": set(), "container": set()}


class Items(list):
    """The items of one look. In a notebook it is a table, of the columns that have values."""

    def _repr_html_(self):
        if not self:
            return "<p>none</p>"
        header = [(i, name) for i, name in enumerate(self[0]._fields)
                  if any(item[i] is not None for item in self)]
        return _html_table([name for _, name in header],
                           [[item[i] for i, _ in header] for item in self])


def _items(kind, items):
    cls, name = {
        lib.VL_ITEM_PROCESS: (Process, "process"), lib.VL_ITEM_SOCKET: (Socket, "socket"),
        lib.VL_ITEM_MODULE: (Module, "module"), lib.VL_ITEM_FILE: (File, "file"),
        lib.VL_ITEM_MEMORY: (Memory, "memory"), lib.VL_ITEM_CONTAINER: (Container, "container"),
    }[kind]
    at = getattr(lib, f"vl_items_{name}")
    text = ffi.typeof("struct vl_item_text")
    result = Items()
    for i in range(lib.vl_items_count(items)):
        item = at(items, i)
        values = []
        for bit, member in enumerate(cls._fields):
            value = None
            if item.item.known >> bit & 1:
                value = getattr(item, member)
                if isinstance(value, ffi.CData) and ffi.typeof(value) == text:
                    value = _text(value.text, value.len)
                elif member in _ADDRESSES[name]:
                    value = Pointer(value)
            values.append(value)
        result.append(cls(*values))
    return result


# ---- objects of the kernel --------------------------------------------------

class Symbolic(int):
    """A number of an enum. name: what the kernel calls it."""
    name = None

    def __new__(cls, value, name):
        self = super().__new__(cls, value)
        self.name = name
        return self

    def __repr__(self):
        return printable(self.name)

    __str__ = __repr__


class Unreadable:
    """In place of a value that cannot be read, or of a type that has none."""

    def __init__(self, reason, address=None):
        self.reason, self.address = reason, address

    def __bool__(self):
        return False

    def __repr__(self):
        where = "" if self.address is None else f" {self.address:#x}"
        return f"<unreadable{where}: {printable(self.reason)}>"


class _Values:
    """Makes Python's values of the calls that vl_guest_peek_values() makes."""

    def __init__(self):
        self.stack = [(None, [])]  # open structures and arrays, each with its name
        self.error = None

    def put(self, name, value):
        into = self.stack[-1][1]
        if isinstance(into, list):
            into.append(value)
        elif name is not None:
            into[name] = value
        elif isinstance(value, dict):
            # A structure or union without a name has its members in the one around it.
            into.update(value)

    def value(self, name, v):
        kind = v.kind
        text = _text(v.text) if v.text and kind != lib.VL_VALUE_STRING else None
        if kind == lib.VL_VALUE_INT:
            value = v.i
        elif kind == lib.VL_VALUE_UINT:
            value = v.u
        elif kind == lib.VL_VALUE_BOOL:
            value = v.u != 0
        elif kind == lib.VL_VALUE_POINTER:
            value = Pointer(v.u, text and (f"{text}+{v.offset:#x}" if v.offset else text))
        elif kind == lib.VL_VALUE_ENUM:
            value = Symbolic(v.i, text) if text else v.i
        elif kind == lib.VL_VALUE_STRING:
            value = _text(v.text, v.len)
        elif kind == lib.VL_VALUE_FAULT:
            value = Unreadable(text or "", v.u)
        else:
            value = Unreadable(text or "")
        self.put(name, value)


def _callback(name):
    """Defines a callback of C. What it raises is kept for the caller of C: from a callback
    it would go to stderr, and nowhere else."""
    def define(function):
        def call(ctx, *args):
            values = ffi.from_handle(ctx)
            try:
                if values.error is None:
                    function(values, *args)
            except Exception as error:  # pylint: disable=broad-except
                values.error = error
        ffi.def_extern(name=name)(call)
        return function
    return define


def _name(pointer):
    return _text(pointer) if pointer else None


@_callback("vlens_value")
def _value(values, name, v):
    values.value(_name(name), v)


@_callback("vlens_open")
def _open(values, name, _type, array, _at):
    values.stack.append((_name(name), [] if array else {}))


@_callback("vlens_close")
def _close(values, _array):
    values.put(*values.stack.pop())


@_callback("vlens_more")
def _more(values, left):
    values.put(None, Unreadable(f"{left} more"))


_OPS = ffi.new("struct vl_peek_ops *", {
    "value": lib.vlens_value, "open": lib.vlens_open, "close": lib.vlens_close,
    "more": lib.vlens_more})


class Object:
    """A place in the guest's memory, and its type.

    object.member is the place of a member; pointers on the way are followed, so task.mm.pgd is
    task->mm->pgd. object["member"] is the same, for a name that Python or this class has, and
    object[3] is an element of an array, or what is 3 elements behind a pointer. value() reads it.
    """

    def __init__(self, guest, what, found):
        self._guest, self._what = guest, what
        #: its address, the size in bytes, the type as C has it (None: only bytes)
        self.address_ = found.va
        self.size_ = found.size
        self.type_ = _text(found.type) if found.typed else None

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name):
        if isinstance(name, int):
            return self._guest.object(f"{self._what}[{name}]")
        try:
            return self._guest.object(f"{self._what}.{name}")
        except Error as error:
            if error.code != "ARG":
                raise
            raise AttributeError(error.message) from None

    def value(self, depth=0, elements=0):
        """Read it: a number, str, bool, Pointer or Symbolic; a dict of a structure, a list of an
        array (its first @elements, 0: all). Pointers are followed @depth deep."""
        return self._guest._value(self._what, depth, elements)

    def read(self):
        """Its bytes."""
        return self._guest.read(self.address_, self.size_)

    def __repr__(self):
        return f"<{printable(self.type_)} at {self.address_:#x}>"

    def _repr_html_(self):
        try:
            value = self.value()
        except Error as error:
            value = Unreadable(error.message, error.address)
        rows = value.items() if isinstance(value, dict) else [("", value)]
        return _html_table(("", ""), [(name, repr(v) if isinstance(v, (dict, list)) else v)
                                      for name, v in rows], f"{self.type_} at {self.address_:#x}")


# ---- guests -----------------------------------------------------------------

def guests(uri=None):
    """The names of all guests of this host, for Guest(): domains of libvirt, QEMUs, others on KVM."""
    names, number = ffi.new("char ***"), ffi.new("size_t *")
    _check(lib.vl_host_guest_names(ffi.NULL if uri is None else uri.encode(), names, number))
    try:
        return [_text(names[0][i]) for i in range(number[0])]
    finally:
        lib.vl_host_guests_free(names[0], number[0])


class Guest:
    """An open guest: a domain of libvirt, a QEMU, a dump, by the name that vps(1) takes.

    uri: of libvirt; partial: read what is there of a file that is cut short. Use it in a with
    statement, or close() it.
    """

    def __init__(self, name, uri=None, partial=False):
        self._lock = threading.RLock()
        self._guest = None
        self.name = name
        keep = ffi.NULL if uri is None else ffi.new("char[]", uri.encode())
        options = ffi.new("struct vl_guest_options *", {
            "uses": lib.VL_GUEST_READ, "target": {"uri": keep, "partial": partial}})
        ret = ffi.new("struct vl_guest **")
        _check(lib.vl_guest_open(name.encode("utf-8", "surrogateescape"), options, ret))
        self._guest, self._options = ret[0], (keep, options)
        try:
            _check(lib.vl_guest_attach(self._guest, True))
        except Error:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        # Not there if vl_guest_open() failed, nor when Python ends.
        if getattr(self, "_guest", None) is not None and lib is not None:
            self.close()

    def close(self):
        """Close it. A second call does nothing."""
        with self._lock:
            guest, self._guest = self._guest, None
            if guest is not None:
                lib.vl_guest_close(guest)

    def _open(self):
        if self._guest is None:
            raise ValueError("the guest is closed")
        return self._guest

    def _read_items(self, kind):
        ret = ffi.new("struct vl_items **")
        with self._lock:
            err = lib.vl_guest_items(self._open(), kind, ret)
        try:
            items = _items(kind, ret[0])
        finally:
            lib.vl_items_close(ret[0])
        if err != ffi.NULL:
            raise _error(err, items or None)
        return items

    def processes(self):
        """Its processes: Items of Process."""
        return self._read_items(lib.VL_ITEM_PROCESS)

    def sockets(self):
        """Its sockets: Items of Socket."""
        return self._read_items(lib.VL_ITEM_SOCKET)

    def modules(self):
        """The modules of its kernel: Items of Module."""
        return self._read_items(lib.VL_ITEM_MODULE)

    def files(self):
        """The files that its processes use: Items of File."""
        return self._read_items(lib.VL_ITEM_FILE)

    def containers(self):
        """Its containers: Items of Container."""
        return self._read_items(lib.VL_ITEM_CONTAINER)

    def memory(self):
        """Its memory: a Memory."""
        return self._read_items(lib.VL_ITEM_MEMORY)[0]

    def _find(self, what, depth=0, elements=0, pid=0):
        found = ffi.new("struct vl_peek_found *")
        _check(lib.vl_guest_peek(self._open(), what.encode("utf-8", "surrogateescape"), pid,
                                 elements, depth, found))
        return found

    def object(self, what):
        """A place in the kernel's memory, by its types, as vpeek(1) has it: "init_task.mm",
        "0xffff888003a00000:struct task_struct". Nothing but pointers on the way is read."""
        with self._lock:
            return Object(self, what, self._find(what))

    def __getitem__(self, what):
        return self.object(what)

    def _value(self, what, depth, elements):
        values = _Values()
        handle = ffi.new_handle(values)
        with self._lock:
            self._find(what, depth, elements)
            _check(lib.vl_guest_peek_values(self._open(), 0, _OPS, handle))
        if values.error is not None:
            raise values.error
        return values.stack[0][1][0]

    def read(self, address, length, pid=0):
        """Bytes of the kernel's memory, or of that of process @pid. All of them, or an Error."""
        buffer, done = ffi.new("char[]", max(length, 1)), ffi.new("size_t *")
        with self._lock:
            self._find(f"{address:#x}", pid=pid)
            _check(lib.vl_guest_peek_bytes(self._open(), address, buffer, length, True, done))
        return ffi.buffer(buffer, length)[:]

    def offset(self, type_, member):
        """The offset in bytes of @member in @type_: offset("struct task_struct", "tasks")."""
        return self.object(f"0x0:{type_}.{member}").address_

    def list(self, head, type_, member, limit=1 << 20):
        """The objects in a list of the kernel: list("modules", "struct module", "list").

        @head is a place with a struct list_head; @member is the one in each of the objects. The
        list of a running guest changes meanwhile: one that does not lead back to its head within
        @limit objects is an Error.
        """
        offset = self.offset(type_, member)
        start = self.object(head).address_
        at = int.from_bytes(self.read(start, 8), "little")
        for _ in range(limit):
            if at == start:
                return
            yield self.object(f"{at - offset:#x}:{type_}")
            at = int.from_bytes(self.read(at, 8), "little")
        raise Error(f"the list at {head} does not end within {limit} objects", "KERNEL")

    def __repr__(self):
        return f"<vlens.Guest {printable(self.name)}{' (closed)' if self._guest is None else ''}>"

    def _repr_html_(self):
        if self._guest is None:
            return f"<p>{html.escape(repr(self))}</p>"
        memory = self.memory()
        kernel = self.object("init_uts_ns.name").value()
        rows = [("host name", kernel.get("nodename")), ("kernel", kernel.get("release")),
                ("memory, bytes", memory.total), ("available, bytes", memory.available),
                ("processes", len(self.processes()))]
        return _html_table(("", ""), rows, self.name)
