"""Escaping of untrusted text for the terminal, CSV, Markdown and LaTeX."""

import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, TextIO

_C0_AND_C1 = (*range(0x20), *range(0x7F, 0xA0))
_LINE_ENDS = (0x2028, 0x2029)
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SURROGATES = range(0xD800, 0xE000)
_STEERING = dict.fromkeys((*_C0_AND_C1, *_LINE_ENDS, *_BIDI, *_SURROGATES), "?")
_WITHIN_LINES = {sign: shown for sign, shown in _STEERING.items() if sign != ord("\n")}
_WITHIN_PAGES = {sign: shown for sign, shown in _WITHIN_LINES.items() if sign != ord("\t")}

_MARKDOWN = {ord(sign): f"\\{sign}" for sign in "\\`*_{}[]<>#|$~&!"}
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "–": "--",
        "−": "$-$",
    }
)


def printable(text: object) -> str:
    """The text on one line, with control characters and bidi overrides replaced by `?`."""
    return str(text).translate(_STEERING)


def printable_lines(text: object) -> str:
    """`printable` applied to every line; line ends are kept."""
    return str(text).translate(_WITHIN_LINES)


def show(text: object, file: TextIO | None = None, flush: bool = False) -> None:
    """Print lines to stdout or another stream, without terminal control characters."""
    print(printable_lines(text), file=sys.stdout if file is None else file, flush=flush)


def printable_page(text: str) -> str:
    """`printable_lines` for a page or figure; tabs are kept too."""
    return text.translate(_WITHIN_PAGES)


def write_any_text() -> None:
    """Let stdout and stderr write `?` for characters outside their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def csv_cell(value: Any) -> Any:
    """The cell, escaped against formula injection in spreadsheets; numbers are unchanged."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        float(value)
        return value
    text = printable(value)
    return f"'{text}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def markdown_text(text: object) -> str:
    """The text on one line, escaped for Markdown."""
    return printable(" ".join(str(text).split())).translate(_MARKDOWN)


def latex_text(text: object) -> str:
    """The text on one line, escaped for LaTeX."""
    return printable(text).translate(_LATEX)
