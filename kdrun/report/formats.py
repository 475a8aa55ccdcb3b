"""A comparison as text: for the terminal, for papers, for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kdrun.seeds import SEED
from kdrun.tables import add_columns, add_settings, count, percent, plain_table

Content = Mapping[str, Any]

LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
        **{"±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}", "–": "--"},
    }
)


def printable(text: object) -> str:
    """One line without the control characters that would steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))


def points(value: float | None, half_width: float | None = None) -> str:
    """`+1.20 ± 0.31` points of accuracy."""
    if value is None:
        return "-"
    return f"{100 * value:+.2f}" + ("" if half_width is None else f" ± {100 * half_width:.2f}")


MEASURED = (
    *("student", "seeds", "val", "test", "deviation", "over control", "to the first"),
    *("params", "MACs", "ms"),
)
"""Heads of the columns after those of the settings."""


def columns(content: Content) -> list[str]:
    """Heads of the table of settings."""
    varied = [name for name in content["varied"] if name != SEED]
    return [*map(printable, varied), *MEASURED]


def cells(content: Content) -> list[list[str]]:
    """The table of settings; differences with half of their 95 % interval."""
    varied = [name for name in content["varied"] if name != SEED]
    return [
        [
            *(printable(row["settings"].get(name, "-")) for name in varied),
            printable(row["arch"]),
            str(row["seeds"]),
            percent(row["validation"]),
            percent(row["test"]),
            percent(row["deviation"]),
            points(row["gain"], row["gain_half_width"]),
            points(row["difference"], row["difference_half_width"]),
            count(row["parameters"]),
            count(row["macs"]),
            "-" if row["latency_ms"] is None else f"{row['latency_ms']:.3g}",
        ]
        for row in content["settings"]
    ]


def table(content: Content) -> Table:
    """For the terminal: columns without a value in any row are left out."""
    names, rows = columns(content), cells(content)
    kept = [place for place in range(len(names)) if any(row[place] != "-" for row in rows)]
    varied = len(names) - len(MEASURED)
    spare = ("deviation", "MACs", "ms", "params", "val")
    shown = plain_table(f"{len(content['runs'])} runs by validation accuracy", spare)
    heads = {escape(names[place]): place for place in kept if place < varied}
    settings = add_settings(shown, list(heads))
    add_columns(shown, *(names[place] for place in kept if place >= varied))
    for number, row in enumerate(rows):
        told = settings({head: row[place] for head, place in heads.items()})
        measured = [row[place] for place in kept if place >= varied]
        style = "bold" if number == 0 else None
        shown.add_row(*(Text(cell) for cell in (*told, *measured)), style=style)
    return shown


def notes(content: Content) -> list[str]:
    """What is to be known beside the table."""
    seeds = {row["seeds"] for row in content["settings"]}
    kinds = ["Student's t"] if seeds != {1} else []
    kinds += ["one seed: of the sample of images alone"] if 1 in seeds else []
    told = [
        "over control, to the first: paired by seed, in points, ± half of the 95 % interval "
        + f"({' and '.join(kinds)})"
    ]
    for job in content["unfinished"]:
        error = printable(job["error"])
        state = printable(job["status"])
        told.append(f"job {printable(job['run'])} is left out: {state}{': ' * bool(error)}{error}")
    return told


def markdown(content: Content) -> str:
    """A table of GitHub's Markdown."""
    names, rows = columns(content), cells(content)

    def line(row: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"

    rule = ["---:" if name in names[-10:] else "---" for name in names]
    return "\n".join([line(names), line(rule), *map(line, rows)])


def latex(content: Content) -> str:
    r"""A tabular with the rules of booktabs."""
    names, rows = columns(content), cells(content)
    lines = [" & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in [names, *rows]]
    head = [r"\begin{tabular}{" + "l" * (len(names) - 9) + "r" * 9 + "}", r"\toprule", lines[0]]
    return "\n".join([*head, r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"])


def csv_text(content: Content) -> str:
    """A row a run, numbers in full."""
    buffer = io.StringIO()
    names = [name for name in content["runs"][0] if name not in ("settings", "choice")]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*content["varied"], *names])
    for run in content["runs"]:
        settings = [run["settings"][name] for name in content["varied"]]
        writer.writerow([*settings, *("" if run[n] is None else run[n] for n in names)])
    return buffer.getvalue().rstrip("\n")


def json_text(content: Content) -> str:
    """All of it."""
    return json.dumps(content, indent=2, allow_nan=False)


TEXTS: dict[str, Callable[[Content], str]] = {
    "md": markdown,
    "csv": csv_text,
    "json": json_text,
    "latex": latex,
}
