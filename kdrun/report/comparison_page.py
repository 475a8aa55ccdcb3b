"""`kdrun report` of several runs or a sweep: a table, text or HTML page."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kdrun.escaping import show
from kdrun.loggers.tables import console, percent
from kdrun.report import comparison_plots
from kdrun.report.comparison import compare
from kdrun.report.comparison_formats import (
    Content,
    cells,
    columns,
    csv_text,
    json_text,
    left_out,
    markdown,
    notes,
    runs_words,
    table,
    tie_notes,
)
from kdrun.report.comparison_latex import latex
from kdrun.report.figure import Plot, house_style
from kdrun.report.html import render, weights_words
from kdrun.report.seeds_table import gain_words
from kdrun.report.shown_settings import shown_settings
from kdrun.store.files import write_atomic
from kdrun.store.folders import refuse_links
from kdrun.store.run_folder import REPORT
from kdrun.store.summary import chosen_by
from kdrun.store.sweep_folder import SWEEP

TEXTS: dict[str, Callable[[Content], str]] = {
    "md": markdown,
    "csv": csv_text,
    "json": json_text,
    "latex": latex,
}

FORMATS = ("table", *TEXTS, "html")


def report_comparison(folders: Sequence[Path], form: str) -> None:
    """Print the comparison in one of `FORMATS`, or write the HTML page.

    Raises:
        ConfigError: nothing is finished.
        DamagedError: a file is malformed.
    """
    content = compare(folders)
    if form == "html":
        show(f"written: {write_page(folders, content)}")
    elif form in TEXTS:
        show(TEXTS[form](content))
        # A text has no notes, so that it can be piped into a file; JSON holds all of it.
        for note in left_out(content) if form != "json" else ():
            show(f"kdrun: {note}", file=sys.stderr)
    else:
        console().print(table(content))
        for note in [*tie_notes(content), *notes(content)]:
            show(note)


def write_page(folders: Sequence[Path], content: dict[str, Any]) -> Path:
    """Write the page to the sweep's folder, or for several folders to the working directory."""
    single = len(folders) == 1 and (folders[0] / SWEEP).exists()
    path = folders[0] / REPORT if single else Path("comparison.html")
    if single:
        refuse_links(folders[0])
    content = content | {name: shown_settings(content[name]) for name in ("settings", "runs")}
    with house_style():
        figures = list(comparison_figures(content))
    page = {
        "title": title(content),
        "lead": lead(content),
        "chosen_by": chosen_by(content["settings"]),
        "weights": weights_words(row["validation"] for row in content["settings"]),
        "columns": columns(content),
        "rows": cells(content),
        "notes": notes(content),
        "plots": figures,
        "runs": content["runs"],
        "varied": content["varied"],
        "folders": [str(folder) for folder in folders],
    }
    write_atomic(path, render("comparison.html.jinja", page).encode())
    return path


def title(content: dict[str, Any]) -> str:
    """Title of the page: `18 runs of resnet8 on fashion_mnist`."""
    rows = content["settings"]
    archs, datasets = ({str(row[key]) for row in rows} for key in ("arch", "dataset"))
    of = f" of {archs.pop()}" if len(archs) == 1 else ""
    return f"{runs_words(content)}{of} on {', '.join(sorted(datasets))}"


def lead(content: dict[str, Any]) -> str:
    """The best setting of each data set with its test accuracy and ties."""
    rows = content["settings"]
    firsts: dict[str, dict[str, Any]] = {}
    for row in rows:
        firsts.setdefault(row["dataset"], row)
    winners = map(best_of, firsts.values())
    best = f"Best by {chosen_by(rows)} accuracy: {'; '.join(winners)}."
    return " ".join([best, *(f"{tie[:1].upper()}{tie[1:]}." for tie in tie_notes(content))])


def best_of(row: dict[str, Any]) -> str:
    """A setting with its test accuracy and gain."""
    settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
    gain = gain_words(row["gain"])
    over = "" if row["gain"] is None else f", {gain} points over the control"
    return f"{settings or row['arch']}, with {percent(row['test'])} on test{over}"


def comparison_figures(content: dict[str, Any]) -> Iterator[Plot]:
    """The figures that the runs have data for."""
    rows = content["settings"]
    several = len({row["dataset"] for row in rows}) > 1  # accuracies have no common scale
    two = comparison_plots.two_settings(content["varied"])
    if two is not None and not several:
        yield comparison_plots.heat_plot(rows, *two)
    if any(row["gain"] is not None for row in rows):
        yield comparison_plots.gain_plot(rows)
    if comparison_plots.costs_of(rows) and not several:
        yield comparison_plots.pareto_plot(rows)
