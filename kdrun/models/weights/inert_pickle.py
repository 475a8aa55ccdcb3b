"""Pickles read as plain data: no class or function that a pickle names is imported or called."""

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

from kdrun.models.weights.described import (
    PLAIN,
    Described,
    Global,
    PickleError,
    hashable,
    set_items,
)

MOST_COPIED = 10_000_000
"""Largest number of elements that builders copy; more only fills the memory."""

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NO_EFFECT = {"PROTO", "FRAME", "STOP"}
# Python 2 called them so.
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def read_pickle(
    file: IO[bytes],
    builders: Mapping[str, Callable[..., Any]],
    persistent: Callable[[Any], Any],
) -> tuple[Any, set[str]]:
    """Read the pickle at the file's position; return its content and the names in it.

    Args:
        file: at the start of the pickle; afterwards at its end.
        builders: this program's own functions in place of those named, by dotted name; an object
            of any other name becomes a `Described`.
        persistent: the object for a persistent id.

    Raises:
        PickleError: damaged, or not made by pickle.
    """
    reader = _Reader(PLAIN | dict(builders), persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            reader.step(opcode.name, argument)
        (content,) = reader.last(1)
    except PickleError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise PickleError(f"its pickle is damaged: {error}") from error
    return content, reader.names


class _Reader:
    """The stack machine of the pickle format, with descriptions in place of objects."""

    def __init__(
        self, builders: Mapping[str, Callable[..., Any]], persistent: Callable[[Any], Any]
    ) -> None:
        self.builders = builders
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()
        self.room = MOST_COPIED

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one instruction."""
        if opcode in _VALUES:
            self.stack.append(argument)  # as pickletools decoded it
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            self.stack.append(_EMPTY[opcode]())
        elif opcode in _TUPLES:
            self.stack.append(tuple(self.last(_TUPLES[opcode])))
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        elif opcode not in _NO_EFFECT:
            raise PickleError(f"its pickle has the instruction {opcode}, unknown in torch's files")

    def last(self, count: int) -> list[Any]:
        """Take the last `count` values."""
        taken = self.stack[-count:]
        if len(taken) < count or any(value is _MARK for value in taken):
            raise PickleError("its pickle is damaged: a value is missing")
        del self.stack[-count:]
        return taken

    def marked(self) -> list[Any]:
        """Take the values after the last mark, and the mark."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def push(self, value: Any) -> None:
        """Add a value."""
        self.stack.append(value)

    def push_name(self, module: Any, name: Any) -> None:
        """Add a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("its pickle is damaged: a name is not text")
        found = Global(_OLD_MODULES.get(module, module), name)
        self.names.add(found.path)
        self.push(found)

    def push_made(self, of: Any, args: Any) -> None:
        """Add the result of this program's own builder, or a description."""
        if not isinstance(of, Global) or not isinstance(args, tuple):
            raise PickleError("its pickle is damaged: it calls something that is not a function")
        build = self.builders.get(of.path)
        made = Described(of, args) if build is None else build(*args)
        if isinstance(made, dict | set | frozenset | tuple):
            self.room -= len(made)
            if self.room < 0:
                raise PickleError("its pickle copies its content too often")
        self.push(made)

    def push_instance(self, argument: str) -> None:
        """Add an object of the oldest protocol, whose arguments are marked."""
        args = tuple(self.marked())
        self.push_name(*argument.split(" ", 1))
        self.push_made(self.stack.pop(), args)

    def push_dict(self) -> None:
        """Add a dict of the marked keys and values."""
        pairs = self.marked()
        self.push({})
        self.set_items(pairs)

    def set_items(self, pairs: list[Any]) -> None:
        """Add keys and values, which alternate, to the last value."""
        target = self.stack[-1]
        target = target.items if isinstance(target, Described) else target
        if not isinstance(target, dict):
            raise PickleError(
                "its pickle is damaged: it sets an item of something that is not a mapping"
            )
        set_items(target, pairs)

    def extend(self, values: list[Any]) -> None:
        """Add elements to the last value."""
        target = self.stack[-1]
        target = target.elements if isinstance(target, Described) else target
        if isinstance(target, set):
            target.update(map(hashable, values))
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise PickleError("its pickle is damaged: it appends to something that is not a list")

    def set_state(self) -> None:
        """Give the last value its attributes; only descriptions keep them."""
        (state,) = self.last(1)
        if isinstance(self.stack[-1], Described):
            self.stack[-1].state = state

    def remember(self, index: int) -> None:
        """Keep the last value under a number."""
        self.memo[index] = self.stack[-1]


# Opcodes that push their argument.
_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}
_STEPS: dict[str, Callable[[_Reader, Any], Any]] = {
    "MARK": lambda reader, _: reader.push(_MARK),
    "POP": lambda reader, _: reader.stack.pop(),
    "POP_MARK": lambda reader, _: reader.marked(),
    "DUP": lambda reader, _: reader.push(reader.stack[-1]),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.marked())),
    "LIST": lambda reader, _: reader.push(reader.marked()),
    "FROZENSET": lambda reader, _: reader.push(frozenset(map(hashable, reader.marked()))),
    "DICT": lambda reader, _: reader.push_dict(),
    "SETITEM": lambda reader, _: reader.set_items(reader.last(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.marked()),
    "APPEND": lambda reader, _: reader.extend(reader.last(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.marked()),
    "ADDITEMS": lambda reader, _: reader.extend(reader.marked()),
    "MEMOIZE": lambda reader, _: reader.remember(len(reader.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda reader, index: reader.remember(index)),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda reader, index: reader.push(reader.memo[index])
    ),
    "GLOBAL": lambda reader, argument: reader.push_name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, _: reader.push_name(*reader.last(2)),
    "INST": lambda reader, argument: reader.push_instance(argument),
    "OBJ": lambda reader, _: reader.push_made(*_first_and_rest(reader.marked())),
    "REDUCE": lambda reader, _: reader.push_made(*reader.last(2)),
    "NEWOBJ": lambda reader, _: reader.push_made(*reader.last(2)),
    "NEWOBJ_EX": lambda reader, _: reader.push_made(*reader.last(3)[:2]),
    "BUILD": lambda reader, _: reader.set_state(),
    "PERSID": lambda reader, argument: reader.push(reader.persistent(argument)),
    "BINPERSID": lambda reader, _: reader.push(reader.persistent(*reader.last(1))),
}


def _first_and_rest(values: list[Any]) -> tuple[Any, tuple[Any, ...]]:
    return values[0], tuple(values[1:])
