"""Rows of the catalog: the code behind a name, and the options that it reads."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from kdrun.catalog.options import Option
from kdrun.errors import near_miss

Section = TypeVar("Section", bound=type)


def load_code(code: str) -> Any:
    """The object that `package.module:Name` names, imported now."""
    module, _, name = code.partition(":")
    # Schedules are looked up at every update, and import_module takes microseconds.
    return getattr(sys.modules.get(module) or import_module(module), name)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A word that a key of the config accepts.

    Attributes:
        code: `package.module:Name`, imported when it is used; None where there is none of its own.
        arguments: fixed arguments of the code.
        reads: options of the key's section that it reads and the schema declares.
        options: options that it adds to the section.
    """

    code: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def option_names(self) -> tuple[str, ...]:
        """The options that it reads, its own last."""
        return (*self.reads, *self.options)

    def load(self) -> Any:
        """The code, imported now."""
        assert self.code is not None
        return load_code(self.code)

    def values(self, section: Any) -> dict[str, Any]:
        """The values that a section has for the options that it reads."""
        return {name: getattr(section, name) for name in self.option_names}

    def chosen(self, given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """The options that it reads, of those that rows share and those that it adds itself.

        Raises:
            TypeError: `own` has an option that it does not read.
        """
        names = self.option_names
        for name in own:
            if name not in names:
                raise TypeError(f"no option '{name}'{near_miss(name, names)}")
        values = {**given, **{name: one.default for name, one in self.options.items()}, **own}
        return {name: values[name] for name in names}


def own_options(rows: Mapping[str, Row]) -> dict[str, Option]:
    """The options that rows add to their section."""
    return {name: option for row in rows.values() for name, option in row.options.items()}


def readers(rows: Mapping[str, Row], option: str) -> tuple[str, ...]:
    """The rows that read an option."""
    return tuple(name for name, row in rows.items() if option in row.option_names)


def with_options(options: Mapping[str, Option]) -> Callable[[Section], Section]:
    """Decorate the class of a section, before it is made a dataclass, with options of rows."""

    def add(section: Section) -> Section:
        for name, option in options.items():
            section.__annotations__[name] = option.annotation
            setattr(section, name, option.as_field())
        return section

    return add
