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
    """Import and return the object named by `package.module:Name`."""
    module, _, name = code.partition(":")
    # Schedules are looked up at every update, and import_module takes microseconds.
    return getattr(sys.modules.get(module) or import_module(module), name)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An allowed value of a config key, with its code and options.

    Attributes:
        code: `package.module:Name`, imported on first use; None without code of its own.
        arguments: fixed arguments of the code.
        reads: options in use of those that the schema declares in the key's section.
        options: options that the row adds to the section.
    """

    code: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def option_names(self) -> tuple[str, ...]:
        """Return the names of the options in use, the row's own last."""
        return (*self.reads, *self.options)

    def load(self) -> Any:
        """Import and return the code."""
        assert self.code is not None
        return load_code(self.code)

    def values(self, section: Any) -> dict[str, Any]:
        """Return the values of the row's options in a section."""
        return {name: getattr(section, name) for name in self.option_names}

    def chosen(self, given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that the row reads, from the shared options and its own.

        Raises:
            TypeError: `own` has an option that the row does not read.
        """
        names = self.option_names
        for name in own:
            if name not in names:
                raise TypeError(f"no option '{name}'{near_miss(name, names)}")
        values = {**given, **{name: one.default for name, one in self.options.items()}, **own}
        return {name: values[name] for name in names}


def own_options(rows: Mapping[str, Row]) -> dict[str, Option]:
    """Return the options that rows add to their section."""
    return {name: option for row in rows.values() for name, option in row.options.items()}


def readers(rows: Mapping[str, Row], option: str) -> tuple[str, ...]:
    """Return the names of the rows that read an option."""
    return tuple(name for name, row in rows.items() if option in row.option_names)


def with_options(options: Mapping[str, Option]) -> Callable[[Section], Section]:
    """Return a decorator that adds options to a section's class; apply it before `dataclass`."""

    def add(section: Section) -> Section:
        for name, option in options.items():
            section.__annotations__[name] = option.annotation
            setattr(section, name, option.as_field())
        return section

    return add
