"""`kdrun report` of several runs or a sweep: in the terminal, as text, or as a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdrun.files import write_atomic
from kdrun.report import comparison_plots as plots
from kdrun.report.comparison import compare
from kdrun.report.figure import Plot, house_style
from kdrun.report.formats import TEXTS, cells, columns, notes, table
from kdrun.report.run_page import render
from kdrun.run_folder import REPORT
from kdrun.saved_run import refuse_links
from kdrun.sweep_jobs import SWEEP
from kdrun.tables import console

FORMATS = ("table", *TEXTS, "html")


def report_comparison(folders: Sequence[Path], form: str) -> None:
    """Print the comparison in one of `FORMATS`; html is written.

    Raises:
        ConfigError: nothing is finished.
        DamagedError: a file is not as kdrun writes it.
    """
    content = compare(folders)
    if form == "html":
        print(f"written: {write_page(folders, content)}")
    elif form in TEXTS:
        print(TEXTS[form](content))
    else:
        console().print(table(content))
        for note in notes(content):
            print(note)


def write_page(folders: Sequence[Path], content: dict[str, Any]) -> Path:
    """Into the sweep's folder; of several folders into the working one."""
    single = len(folders) == 1 and (folders[0] / SWEEP).exists()
    path = folders[0] / REPORT if single else Path("comparison.html")
    if single:
        refuse_links(folders[0])
    with house_style():
        figures = list(comparison_figures(content))
    page = {
        "title": f"{len(content['runs'])} runs compared",
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


def comparison_figures(content: dict[str, Any]) -> Iterator[Plot]:
    """Those that the runs have data for."""
    rows = content["settings"]
    two = plots.two_settings(content["varied"])
    if two is not None:
        yield plots.heat_plot(rows, *two)
    if any(row["gain"] is not None for row in rows):
        yield plots.gain_plot(rows)
    if plots.costs_of(rows):
        yield plots.pareto_plot(rows)
